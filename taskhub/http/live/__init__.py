"""Events as they happen: one tail of the table for all listeners of this process, told as SSE."""
