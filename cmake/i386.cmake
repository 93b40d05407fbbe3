# with SSE2: the x87 unit rounds otherwise than the library's rules ask for
set(BNNEP_FOREIGN i386 i386-linux-gnu i686-linux-gnu i686 qemu-i386-static)
include(${CMAKE_CURRENT_LIST_DIR}/foreign.cmake)
set(CMAKE_C_FLAGS_INIT "-march=pentium4 -mfpmath=sse")
