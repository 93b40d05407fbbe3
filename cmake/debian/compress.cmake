# Before the packages are made: manual pages are compressed, as Debian wants them.
file(GLOB_RECURSE _manuals ${CPACK_TEMPORARY_DIRECTORY}/*.1)
list(FILTER _manuals INCLUDE REGEX "/share/man/man1/")
foreach(_manual IN LISTS _manuals)
  execute_process(COMMAND gzip -9n ${_manual} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
