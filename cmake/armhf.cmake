set(BNNEP_FOREIGN armhf arm-linux-gnueabihf arm-linux-gnueabihf arm qemu-arm-static)
include(${CMAKE_CURRENT_LIST_DIR}/foreign.cmake)
