//! The command `wardline`.

fn main() {}
