"""From mechanisms to compiled code: a small intermediate form, and what is generated from it."""
