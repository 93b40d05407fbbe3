# The innermost loops of the cpu backend: the same file, once for each instruction set, picked at run time.
# With a check of every address, gcc takes minutes for loops that are unrolled. So does clang with its checks of
# undefined behaviour and its counters for fuzzing, which have nothing to find here: kernels decide nothing by what a file
# says.
set(_kernel_level -O3)
if(BNNEP_SANITIZE MATCHES "address")
  set(_kernel_level -Og)
endif()
if(BNNEP_FUZZ)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/backends/cpu/kernels/isa.c PROPERTIES
    COMPILE_OPTIONS "-fno-sanitize=all;-fsanitize=address;-O1")
endif()

function(bnnep_kernels isa)
  add_library(bnnep_kernels_${isa} OBJECT ${PROJECT_SOURCE_DIR}/backends/cpu/kernels/isa.c)
  target_include_directories(bnnep_kernels_${isa} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  target_compile_definitions(bnnep_kernels_${isa} PRIVATE BNNEP_ISA=${isa})
  target_compile_options(bnnep_kernels_${isa} PRIVATE ${_kernel_level} -Wno-psabi ${ARGN})
  target_link_libraries(bnnep_kernels_${isa} PRIVATE bnnep_flags)
  set_target_properties(bnnep_kernels_${isa} PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
  set(bnnep_kernel_objects ${bnnep_kernel_objects} $<TARGET_OBJECTS:bnnep_kernels_${isa}> PARENT_SCOPE)
endfunction()

bnnep_kernels(generic)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  bnnep_kernels(avx2 -mavx2 -mbmi2)
  bnnep_kernels(avx512 -mbmi2 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  bnnep_kernels(neon)
endif()
