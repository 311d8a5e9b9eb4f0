# find_package(Tessera CONFIG), then target_link_libraries(app Tessera::tessera).
include(CMakeFindDependencyMacro)
find_dependency(fmt)
find_dependency(OpenMP COMPONENTS CXX)  # so that a kernel of yours runs on the same threads
include(${CMAKE_CURRENT_LIST_DIR}/TesseraTargets.cmake)
