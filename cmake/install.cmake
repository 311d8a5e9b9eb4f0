# What other programs get: libtessera.so, its headers, and what find_package(Tessera) reads. The headers lie in the build folder as they
# are installed, so that add_subdirectory and an installed copy are used alike.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Not those of kernels' insides, nor those that want simdjson.
file(GLOB_RECURSE headers RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS tensor/*.h ops/*.h autograd/*.h nn/*.h data/*.h eval/*.h
  models/*.h train/*.h)
list(FILTER headers EXCLUDE REGEX "/cuda/|^ops/cpu/|^data/(json_reader|coco_records|coco_rle|video_module|video_ffmpeg|formats/parts).h$|^train/(mpi|nccl)_")
list(APPEND headers tessera.h ops/cpu/parallel.h)
set(include_dir ${PROJECT_BINARY_DIR}/include)
add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/headers.stamp
  COMMAND ${CMAKE_COMMAND} "-DHEADERS=${headers}" -DTO=${include_dir}/tessera -P ${PROJECT_SOURCE_DIR}/cmake/copy_headers.cmake
  COMMAND ${CMAKE_COMMAND} -E touch ${PROJECT_BINARY_DIR}/headers.stamp
  DEPENDS ${headers} cmake/copy_headers.cmake WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} COMMENT "Copying the headers" VERBATIM)
add_custom_target(tessera_headers DEPENDS ${PROJECT_BINARY_DIR}/headers.stamp)
add_dependencies(tessera_library tessera_headers)
target_include_directories(tessera_library INTERFACE $<BUILD_INTERFACE:${include_dir}> $<INSTALL_INTERFACE:include>)

install(TARGETS tessera_library EXPORT TesseraTargets)
install(DIRECTORY ${include_dir}/tessera TYPE INCLUDE)
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/tessera)  # where train/named_config.cpp looks for them
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Tessera)
install(EXPORT TesseraTargets NAMESPACE Tessera:: DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/TesseraConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES cmake/TesseraConfig.cmake ${PROJECT_BINARY_DIR}/TesseraConfigVersion.cmake DESTINATION ${package_dir})
