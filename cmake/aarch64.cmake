set(BNNEP_FOREIGN aarch64 aarch64-linux-gnu aarch64-linux-gnu aarch64 qemu-aarch64-static)
include(${CMAKE_CURRENT_LIST_DIR}/foreign.cmake)
