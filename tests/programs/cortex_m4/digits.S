/* The file digits.bin: 784 bytes a digit. */
    .section .rodata.digits, "a"
    .global digits, digits_end
digits:
    .incbin "digits.bin"
digits_end:
