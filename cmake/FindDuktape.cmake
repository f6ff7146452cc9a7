# Duktape, a small engine of ECMAScript 5: the target Duktape::duktape.
find_path(DUKTAPE_INCLUDE_DIR duktape.h)
find_library(DUKTAPE_LIBRARY duktape)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Duktape REQUIRED_VARS DUKTAPE_LIBRARY DUKTAPE_INCLUDE_DIR)
if(Duktape_FOUND AND NOT TARGET Duktape::duktape)
  add_library(Duktape::duktape UNKNOWN IMPORTED)
  set_target_properties(Duktape::duktape PROPERTIES IMPORTED_LOCATION ${DUKTAPE_LIBRARY}
                                                    INTERFACE_INCLUDE_DIRECTORIES ${DUKTAPE_INCLUDE_DIR})
endif()
