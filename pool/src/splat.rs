//! Functions of several arguments, called with a tuple.

/// A function that can be called with the tuple `Args`; see
/// [`GreenPool::starmap`](crate::GreenPool::starmap). Implemented for functions of one to four
/// arguments.
pub trait Splat<Args> {
    /// What the function returns.
    type Output;

    /// Calls it.
    fn call(&self, args: Args) -> Self::Output;
}

macro_rules! splat {
    ($($arg:ident),*) => {
        impl<Func: Fn($($arg),*) -> Out, Out, $($arg),*> Splat<($($arg,)*)> for Func {
            type Output = Out;

            #[expect(non_snake_case, reason = "named like their types")]
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
