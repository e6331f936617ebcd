<<<<<<< HEAD
//! The binary. All of it is in the library.
=======
//! The `bootwright` program.
>>>>>>> disk

fn main() {}
