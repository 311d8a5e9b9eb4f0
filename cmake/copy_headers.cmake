# cmake -DHEADERS=a/b.h;... -DTO=FOLDER -P copy_headers.cmake: copies headers, in which "a/b.h" becomes <tessera/a/b.h>: a name that no other
# library's folder takes, and that no folder of the program which includes them can come before.
foreach(header IN LISTS HEADERS)
  file(READ ${header} text)
  string(REGEX REPLACE "#include \"([^\"]+)\"" "#include <tessera/\\1>" text "${text}")
  file(WRITE ${TO}/${header}.new "${text}")
  file(COPY_FILE ${TO}/${header}.new ${TO}/${header} ONLY_IF_DIFFERENT)
  file(REMOVE ${TO}/${header}.new)
endforeach()
