//! Finds what was refused in any text that carries a refusal.
