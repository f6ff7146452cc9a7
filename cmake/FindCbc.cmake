# CBC's library and C interface as Cbc::Cbc. Its package configuration lists what only static libraries need.
find_path(CBC_INCLUDE_DIR coin/Cbc_C_Interface.h)
find_library(CBC_LIBRARY CbcSolver)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Cbc REQUIRED_VARS CBC_LIBRARY CBC_INCLUDE_DIR)
mark_as_advanced(CBC_INCLUDE_DIR CBC_LIBRARY)

if(Cbc_FOUND AND NOT TARGET Cbc::Cbc)
  add_library(Cbc::Cbc UNKNOWN IMPORTED)
  set_target_properties(Cbc::Cbc PROPERTIES IMPORTED_LOCATION "${CBC_LIBRARY}"
                                            INTERFACE_INCLUDE_DIRECTORIES "${CBC_INCLUDE_DIR}")
endif()
