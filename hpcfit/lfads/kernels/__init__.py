"""Compiled kernels of the recurrences, for processors; recurrence.py holds their readable twin."""
