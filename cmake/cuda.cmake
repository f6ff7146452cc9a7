# Kernels for NVIDIA GPUs. QSWEEP_CUDA is OFF; ON, which takes nvcc 12.4 or newer; or EMULATED, for tests without a GPU:
# the same sources are compiled by the C++ compiler, against tests/cuda_emulator.
set(QSWEEP_CUDA OFF CACHE STRING "OFF, ON (nvcc) or EMULATED (for tests on the CPU)")
set_property(CACHE QSWEEP_CUDA PROPERTY STRINGS OFF ON EMULATED)
set(QSWEEP_CUDA_ROOT "" CACHE PATH "The toolkit, if its nvcc is not to be looked for; .../nvidia/cu13 of the PyPI wheels")
set(QSWEEP_CUDA_ARCHS "" CACHE STRING "Architectures, 90 for example, instead of all from 80 on that nvcc knows")

# Debian's CMake knows neither the wheels' folders nor CUDA 13 with C++20, so nvcc is called directly.
if(QSWEEP_CUDA STREQUAL "ON")
  if(QSWEEP_CUDA_ROOT)
    find_program(QSWEEP_NVCC nvcc PATHS ${QSWEEP_CUDA_ROOT}/bin NO_DEFAULT_PATH REQUIRED)
  else()
    find_program(QSWEEP_NVCC NAMES ${CMAKE_CUDA_COMPILER} $ENV{CUDACXX} nvcc
                 HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin REQUIRED)
  endif()
  execute_process(COMMAND ${QSWEEP_NVCC} --version OUTPUT_VARIABLE version COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCH "release ([0-9.]+)" version "${version}")
  if(CMAKE_MATCH_1 VERSION_LESS 12.4)
    message(FATAL_ERROR "${QSWEEP_NVCC} is of CUDA ${CMAKE_MATCH_1}, at least 12.4 is needed")
  endif()
  message(STATUS "CUDA ${CMAKE_MATCH_1}: ${QSWEEP_NVCC}")

  file(REAL_PATH ${QSWEEP_NVCC} root)
  cmake_path(GET root PARENT_PATH root)
  cmake_path(GET root PARENT_PATH root)
  find_path(QSWEEP_CUDA_INCLUDE cuda_runtime_api.h PATHS ${root}/include ${root}/targets/x86_64-linux/include
            /usr/include NO_DEFAULT_PATH REQUIRED)
  find_library(QSWEEP_CUDART cudart_static PATHS ${root}/lib64 ${root}/lib ${root}/targets/x86_64-linux/lib
               /usr/lib/x86_64-linux-gnu NO_DEFAULT_PATH REQUIRED)

  set(archs ${QSWEEP_CUDA_ARCHS})
  if(NOT archs)
    execute_process(COMMAND ${QSWEEP_NVCC} --list-gpu-code OUTPUT_VARIABLE known COMMAND_ERROR_IS_FATAL ANY)
    foreach(arch 80 86 89 90 100 120)
      if(known MATCHES "sm_${arch}\n")
        list(APPEND archs ${arch})
      endif()
    endforeach()
  endif()
  # Code for each, and what the driver of a newer GPU can compile.
  foreach(arch ${archs})
    list(APPEND QSWEEP_NVCC_ARCHS -gencode=arch=compute_${arch},code=sm_${arch})
  endforeach()
  list(GET archs -1 newest)
  list(APPEND QSWEEP_NVCC_ARCHS -gencode=arch=compute_${newest},code=compute_${newest})
endif()

set(QSWEEP_NVCC_OPTIONS
    -std=c++20 -O3 --expt-relaxed-constexpr -DQSWEEP_CUDA_CODE -I${PROJECT_SOURCE_DIR}/src
    # As on the CPU an FMA is written where it is meant.
    --fmad=false
    -Werror=all-warnings -Xcompiler=-Wall,-Wextra,-Werror,-fopenmp,-ffp-contract=off,-fno-omit-frame-pointer)

# Compiles a .cu file with nvcc as a source of the target.
function(qsweep_nvcc target source)
  cmake_path(GET source STEM name)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/cuda/${name}.o)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/cuda
    COMMAND ${QSWEEP_NVCC} -ccbin ${CMAKE_CXX_COMPILER} ${QSWEEP_NVCC_OPTIONS} ${QSWEEP_NVCC_ARCHS} ${ARGN} -MD -MF
            ${object}.d -c ${source} -o ${object}
    DEPENDS ${source}
    DEPFILE ${object}.d
    COMMENT "Building CUDA object ${name}.o"
    VERBATIM)
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  target_sources(${target} PRIVATE ${object})
endfunction()

# Adds .cu files to a target; further arguments for the compiler behind OPTIONS.
function(qsweep_cuda_sources target)
  cmake_parse_arguments(ARG "" "" "OPTIONS" ${ARGN})
  foreach(source ${ARG_UNPARSED_ARGUMENTS})
    if(QSWEEP_CUDA STREQUAL "EMULATED")
      target_sources(${target} PRIVATE ${source})
      # A GPU too stops at an access of several elements whose address is not a multiple of its size.
      set(options -x c++ -fsanitize=alignment -fsanitize-undefined-trap-on-error ${ARG_OPTIONS})
      set_source_files_properties(${source} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${options}"
                                                       COMPILE_DEFINITIONS "QSWEEP_CUDA_CODE;QSWEEP_CUDA_EMULATED")
    else()
      qsweep_nvcc(${target} ${source} ${ARG_OPTIONS})
    endif()
  endforeach()
endfunction()

# The CUDA runtime, or what stands for it.
if(QSWEEP_CUDA STREQUAL "ON")
  find_package(Threads REQUIRED)
  add_library(qsweep_cudart INTERFACE)
  target_include_directories(qsweep_cudart SYSTEM INTERFACE ${QSWEEP_CUDA_INCLUDE})
  target_link_libraries(qsweep_cudart INTERFACE ${QSWEEP_CUDART} Threads::Threads rt ${CMAKE_DL_LIBS})
elseif(QSWEEP_CUDA STREQUAL "EMULATED")
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/cuda_emulator/*.cc)
  add_library(qsweep_cudart STATIC ${sources})
  target_include_directories(qsweep_cudart PUBLIC ${PROJECT_SOURCE_DIR}/tests/cuda_emulator/include
                             PRIVATE ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/src)
  target_compile_definitions(qsweep_cudart PRIVATE QSWEEP_CUDA_EMULATED)
  target_link_libraries(qsweep_cudart PRIVATE qsweep_options)
endif()
