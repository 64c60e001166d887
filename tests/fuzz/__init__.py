"""Every decoder as a target that takes any bytes; `make fuzz` looks for bytes that break one."""
