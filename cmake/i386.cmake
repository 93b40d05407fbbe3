set(BNNEP_FOREIGN i386 i386-linux-gnu i686-linux-gnu i686 qemu-i386-static)
include(${CMAKE_CURRENT_LIST_DIR}/foreign.cmake)
# With SSE2: the x87 unit rounds otherwise than the library's rules ask for. Without gcc's notes on how older versions of
# it aligned atomic 64-bit integers, which no object of the library shares with another compiler's.
set(CMAKE_C_FLAGS_INIT "-march=pentium4 -mfpmath=sse -Wno-psabi")
