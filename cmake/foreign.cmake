# Cross-compiles on Debian for another architecture, whose libraries scripts/test-foreign.sh unpacks to build/root-NAME.
# What is built runs under qemu-user. Included by NAME.cmake, which says what BNNEP_FOREIGN is:
#     NAME TRIPLET(of the folders) COMPILER_PREFIX PROCESSOR QEMU
list(GET BNNEP_FOREIGN 0 _name)
list(GET BNNEP_FOREIGN 1 _triplet)
list(GET BNNEP_FOREIGN 2 _compiler)
list(GET BNNEP_FOREIGN 3 _processor)
list(GET BNNEP_FOREIGN 4 _qemu)
get_filename_component(_root ${CMAKE_CURRENT_LIST_DIR}/../build/root-${_name} ABSOLUTE)

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${_processor})
set(CMAKE_C_COMPILER ${_compiler}-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE ${_triplet})
set(CMAKE_FIND_ROOT_PATH ${_root})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${_root})
set(ENV{PKG_CONFIG_LIBDIR} ${_root}/usr/lib/${_triplet}/pkgconfig:${_root}/usr/lib/${_triplet}/openblas-pthread/pkgconfig)
# libraries that the libraries need
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-rpath-link,${_root}/usr/lib/${_triplet}:${_root}/lib/${_triplet}:${_root}/usr/lib/${_triplet}/openblas-pthread")
set(CMAKE_SHARED_LINKER_FLAGS_INIT ${CMAKE_EXE_LINKER_FLAGS_INIT})
if(NOT DEFINED CMAKE_CROSSCOMPILING_EMULATOR)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${_qemu};-L;${_root}")
endif()
