//! Enums of which each value has one word.

/// Defines an enum of which each value has one word, the same in grants, events, JSON and for people, with
/// `ALL`, every value with its word, and `name`, the word of one.
#[macro_export]
macro_rules! words {
    (
        $(#[$doc:meta])*
        pub enum $type:ident {
            $($(#[$of_value:meta])* $value:ident $(= $number:literal)? => $word:literal,)+
        }
    ) => {
        $(#[$doc])*
        pub enum $type {
            $($(#[$of_value])* $value $(= $number)?,)+
        }

        impl $type {
            /// Every value with its word.
            pub const ALL: [(Self, &'static str); [$($word),+].len()] = [$((Self::$value, $word),)+];

            /// Its word.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }
        }
    };
}
