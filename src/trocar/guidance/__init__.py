"""What happens live: what the C-arm shows, where the needle is, and whether cement leaks.

Takes iterators of stamped frames and readings; what opens a file, a camera or a socket lives in ``io``.
"""
