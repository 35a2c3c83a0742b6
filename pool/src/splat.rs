//! `Splat`: functions of several arguments that are called with a tuple.

/// A function that can be called with the tuple `Args`; see
/// [`GreenPool::starmap`](crate::GreenPool::starmap). Implemented for functions of one to four
/// arguments.
pub trait Splat<Args> {
    /// The return type of the function.
    type Output;

    /// Calls the function with the elements of the tuple.
    fn call(&self, args: Args) -> Self::Output;
}

macro_rules! splat {
    ($($arg:ident),*) => {
        impl<Func: Fn($($arg),*) -> Out, Out, $($arg),*> Splat<($($arg,)*)> for Func {
            type Output = Out;

            #[expect(non_snake_case, reason = "the arguments are named like their types")]
            fn call(&self, ($($arg,)*): ($($arg,)*)) -> Out {
                self($($arg),*)
            }
        }
    };
}

splat!(A);
splat!(A, B);
splat!(A, B, C);
splat!(A, B, C, D);
