//! Who is registered, in clear: the oracle that numbers tried are compared with.

use std::fmt;

use rand::{Rng, RngExt as _};

use super::SimulationError;

/// Numbers that fit: a bit each, 512 MiB.
pub const NUMBERS_MAX: u64 = 1 << 32;

/// A range of numbers, some of which are registered.
pub struct Population {
    numbers: u64,
    registered: u64,
    /// A bit for each number, 64 in a word, the lowest first.
    words: Vec<u64>,
}

impl Population {
    /// Draws who is registered, every choice being equally likely.
    ///
    /// # Errors
    /// [`SimulationError::Numbers`], [`SimulationError::Registered`].
    pub fn draw(
        numbers: u64,
        registered: u64,
        random: &mut impl Rng,
    ) -> Result<Self, SimulationError> {
        if !(1..=NUMBERS_MAX).contains(&numbers) {
            return Err(SimulationError::Numbers);
        }
        if registered > numbers {
            return Err(SimulationError::Registered);
        }
        // The fewer of both are drawn: at least every second attempt hits one that is free.
        let draws_registered = registered <= numbers / 2;
        let n_words =
            usize::try_from(numbers.div_ceil(64)).map_err(|_| SimulationError::Numbers)?;
        let words = vec![if draws_registered { 0 } else { u64::MAX }; n_words];
        let mut population = Self { numbers, registered, words };
        let mut left = if draws_registered { registered } else { numbers - registered };
        while left > 0 {
            let number = random.random_range(0..numbers);
            if population.is_registered(number) != draws_registered {
                population.flip(number);
                left -= 1;
            }
        }
        Ok(population)
    }

    /// How many numbers there are, from 0 on.
    #[must_use]
    pub const fn numbers(&self) -> u64 {
        self.numbers
    }

    /// How many of them are registered.
    #[must_use]
    pub const fn registered(&self) -> u64 {
        self.registered
    }

    /// Whether a number is registered; none is that is out of range.
    #[must_use]
    pub fn is_registered(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|index| self.words.get(index));
        number < self.numbers && word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Registered numbers among the first so many, looked up one by one.
    #[must_use]
    pub fn registered_among(&self, first: u64) -> u64 {
        (0..first).filter(|&number| self.is_registered(number)).count() as u64
    }

    fn flip(&mut self, number: u64) {
        let index = usize::try_from(number / 64).ok();
        if let Some(word) = index.and_then(|index| self.words.get_mut(index)) {
            *word ^= 1 << (number % 64);
        }
    }
}

impl fmt::Debug for Population {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Population")
            .field("numbers", &self.numbers)
            .field("registered", &self.registered)
            .finish_non_exhaustive()
    }
}
