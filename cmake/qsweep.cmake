# Shared build rules: one target per module, warnings as errors on our own code.
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED)
find_package(fmt REQUIRED)

# -ffp-contract=off: an FMA is written where it is meant, so every ISA level does the same arithmetic.
set(QSWEEP_COMPILE_OPTIONS
    # GCC 12 reports a false overflow inside fmt: -Wno-stringop-overflow.
    -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror -Wno-stringop-overflow
    -ffp-contract=off -fno-omit-frame-pointer)

add_library(qsweep_options INTERFACE)
target_compile_options(qsweep_options INTERFACE ${QSWEEP_COMPILE_OPTIONS})
if(QSWEEP_SANITIZE)
  target_compile_options(qsweep_options INTERFACE -fsanitize=${QSWEEP_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(qsweep_options INTERFACE -fsanitize=${QSWEEP_SANITIZE})
endif()

# qsweep_module(NAME DEPS lower modules... LIBS external libraries...)
# Builds src/NAME/*.cc as target qsweep_NAME.
function(qsweep_module name)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  add_library(qsweep_${name} STATIC ${sources})
  target_include_directories(qsweep_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  list(TRANSFORM ARG_DEPS PREPEND qsweep_)
  target_link_libraries(qsweep_${name} PUBLIC ${ARG_DEPS} ${ARG_LIBS} PRIVATE qsweep_options)
endfunction()

# qsweep_test(NAME DEPS modules...): builds tests/NAME/*.cc as qsweep_test_NAME and registers its cases with ctest.
function(qsweep_test name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  add_executable(qsweep_test_${name} ${sources})
  target_include_directories(qsweep_test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(qsweep_test_${name} PRIVATE QSWEEP_TESTDATA="${PROJECT_SOURCE_DIR}/testdata")
  list(TRANSFORM ARG_DEPS PREPEND qsweep_)
  target_link_libraries(qsweep_test_${name} PRIVATE ${ARG_DEPS} qsweep_options GTest::gtest_main GTest::gmock)
  gtest_discover_tests(qsweep_test_${name} TEST_PREFIX ${name}. PROPERTIES TIMEOUT 900 DISCOVERY_TIMEOUT 60)
endfunction()
