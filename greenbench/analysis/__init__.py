"""Analysis: what rows say of a cell, of two, and of a student against its teacher."""
