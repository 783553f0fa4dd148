//! `replay inspect`: will show a session and, at every point of it, which calls are open. Not built yet.
//!
//! It will draw what [`crate::timeline`] knows and compute nothing itself: an update from a key to a state, a view from a
//! state to a screen, and a loop that waits.
