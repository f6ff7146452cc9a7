# Shared build rules: one target per module, warnings as errors on our own code.
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR})
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)

# oneDNN brings GNU's OpenMP runtime and clang would bring its own; two in one process are not allowed, so a clang build
# (analysis, fuzzing) ignores the pragmas and runs its loops on one thread.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  find_package(OpenMP REQUIRED)
else()
  add_library(OpenMP::OpenMP_CXX INTERFACE IMPORTED GLOBAL)
  target_include_directories(OpenMP::OpenMP_CXX INTERFACE ${CMAKE_CURRENT_LIST_DIR}/clang)
endif()

# -ffp-contract=off: an FMA is written where it is meant, so every ISA level does the same arithmetic.
set(QSWEEP_COMPILE_OPTIONS
    -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers -Werror
    # GCC 12 reports a false overflow inside fmt, and a false overlap where strings are added.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
    $<$<CXX_COMPILER_ID:Clang>:-Wno-unknown-pragmas>
    -ffp-contract=off -fno-omit-frame-pointer)

add_library(qsweep_options INTERFACE)
target_compile_options(qsweep_options INTERFACE ${QSWEEP_COMPILE_OPTIONS})
if(QSWEEP_SANITIZE)
  # A null dereference stops the program anyway; looking for it takes a quarter of the sanitizers' compile time.
  target_compile_options(qsweep_options INTERFACE -fsanitize=${QSWEEP_SANITIZE} -fno-sanitize=null
                                                  -fno-sanitize-recover=all)
  target_link_options(qsweep_options INTERFACE -fsanitize=${QSWEEP_SANITIZE})
endif()
# Tests' own code: addresses alone are looked at, since the rest takes a third of its compile time.
add_library(qsweep_test_options INTERFACE)
if(QSWEEP_SANITIZE MATCHES "undefined")
  target_compile_options(qsweep_test_options INTERFACE -fno-sanitize=undefined)
endif()
set(QSWEEP_TEST_SOURCES "")
if(QSWEEP_SANITIZE STREQUAL "thread")
  set(QSWEEP_TEST_SOURCES ${PROJECT_SOURCE_DIR}/tools/tsan_openmp.cc)
endif()

# qsweep_module(NAME DEPS lower modules... LIBS external libraries...)
# Builds src/NAME/*.cc as target qsweep_NAME; what lies in a folder `cuda` is added by the module itself.
function(qsweep_module name)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/cuda/")
  add_library(qsweep_${name} STATIC ${sources})
  target_include_directories(qsweep_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  list(TRANSFORM ARG_DEPS PREPEND qsweep_)
  target_link_libraries(qsweep_${name} PUBLIC ${ARG_DEPS} ${ARG_LIBS} PRIVATE qsweep_options)
endfunction()

# qsweep_test(NAME DEPS modules...): builds tests/NAME/*.cc as qsweep_test_NAME and registers its cases with ctest;
# those with Slow in their name get the label "slow", which the sanitizer runs leave out, those of a GPU "cuda". Both begin
# first, so that none is left alone at the end, and each on a processor of its own, where it takes one thread.
function(qsweep_test name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  add_executable(qsweep_test_${name} ${sources} ${QSWEEP_TEST_SOURCES})
  # Where files name their cases alike, they are compiled one by one.
  if(name MATCHES "^(kernels|ops|graph|pass)$")
    set_target_properties(qsweep_test_${name} PROPERTIES UNITY_BUILD OFF)
  endif()
  target_include_directories(qsweep_test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(qsweep_test_${name} PRIVATE QSWEEP_TESTDATA="${PROJECT_SOURCE_DIR}/testdata")
  # To compile a test takes longer than to run it, the more so with sanitizers; but for those that compute much, and
  # those with SIMD code, which must be inlined.
  if(name STREQUAL "kernels" OR (QSWEEP_SANITIZE AND name MATCHES "^(ops|graph|pass|sweep)$"))
    set(level "")
  elseif(NOT QSWEEP_SANITIZE AND name MATCHES "^(ops|graph|pass|sweep|quant|image|models|inc|synth)$")
    set(level -O1)
  else()
    set(level -O0)
  endif()
  target_compile_options(qsweep_test_${name} PRIVATE ${level})
  if(CMAKE_UNITY_BUILD)
    qsweep_precompiled_headers(qsweep_test_${name} "${level}")
  endif()
  list(TRANSFORM ARG_DEPS PREPEND qsweep_)
  target_link_libraries(qsweep_test_${name} PRIVATE ${ARG_DEPS} qsweep_options qsweep_test_options GTest::gtest_main
                                                    GTest::gmock)
  qsweep_discover_tests(${name} ordinary -*Slow*:*/CUDA:*_cuda:*Cuda*)
  qsweep_discover_tests(${name} slow *Slow*-*/CUDA:*_cuda:*Cuda* LABELS slow COST 2 PROCESSOR_AFFINITY ON)
  if(QSWEEP_CUDA)
    qsweep_discover_tests(${name} cuda */CUDA:*_cuda:*Cuda* LABELS cuda COST 1 PROCESSOR_AFFINITY ON)
  endif()
endfunction()

# The headers that nearly all tests include, read once for each level of optimization.
function(qsweep_precompiled_headers test level)
  set(headers qsweep_test_headers${level})
  if(NOT TARGET ${headers})
    file(WRITE ${CMAKE_BINARY_DIR}/no_code.cc "")
    add_library(${headers} OBJECT ${CMAKE_BINARY_DIR}/no_code.cc)
    target_compile_options(${headers} PRIVATE ${level})
    target_link_libraries(${headers} PRIVATE qsweep_io qsweep_options qsweep_test_options GTest::gtest GTest::gmock)
    target_precompile_headers(${headers} PRIVATE <gmock/gmock.h> <gtest/gtest.h> <nlohmann/json.hpp>)
  endif()
  target_precompile_headers(${test} REUSE_FROM ${headers})
endfunction()

# Registers those of a test program's cases that match the filter, with further properties.
function(qsweep_discover_tests name list filter)
  # Its cases are so many and so short that a process each would take longer than they do.
  if(name STREQUAL "ops" AND NOT list STREQUAL "slow")
    set(shards 6)
    math(EXPR last "${shards} - 1")
    foreach(shard RANGE ${last})
      set(test ops.${list}.${shard})
      add_test(NAME ${test} COMMAND qsweep_test_ops --gtest_filter=${filter})
      set_tests_properties(${test} PROPERTIES ENVIRONMENT "GTEST_TOTAL_SHARDS=${shards};GTEST_SHARD_INDEX=${shard}"
                                              TIMEOUT 900 ${ARGN})
    endforeach()
    return()
  endif()
  gtest_discover_tests(qsweep_test_${name} TEST_PREFIX ${name}. TEST_FILTER ${filter} DISCOVERY_TIMEOUT 60
                       TEST_LIST qsweep_test_${name}_${list} PROPERTIES TIMEOUT 900 ${ARGN})
endfunction()
