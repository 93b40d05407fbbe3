# Makes a header of a text file: `static const char *const NAME[]`, a string a line.
#     cmake -D FROM=file -D TO=file -D NAME=name -P text.cmake
file(READ ${FROM} _text)
string(REPLACE "\\" "\\\\" _text "${_text}")
string(REPLACE "\"" "\\\"" _text "${_text}")
string(REGEX REPLACE "\n$" "" _text "${_text}")
string(REPLACE "\n" "\\n\",\n    \"" _text "${_text}")
file(WRITE ${TO} "static const char *const ${NAME}[] = {\n    \"${_text}\\n\",\n};\n")
