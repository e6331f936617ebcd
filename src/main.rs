<<<<<<< HEAD
//! The `bootwright` program: everything it does lives in the library.
=======
//! The program.
>>>>>>> render

fn main() {}
