//! The values of one reading, as a monitor gives them: whole numbers or tenths, held as tenths so that what was sent
//! can be compared to the bit.

/// The vitals, in the order of their names.
pub const NAMES: [&str; 10] = [
    "diastolic",
    "etco2",
    "glucose",
    "heart_rate",
    "mean_pressure",
    "pulse_rate",
    "resp_rate",
    "spo2",
    "systolic",
    "temperature",
];

/// The place of a vital in [`NAMES`].
#[must_use]
pub fn place(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

/// At most one value for each vital, in tenths of its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Values {
    present: u16,
    tenths: [i16; NAMES.len()],
}

impl Values {
    /// Sets a vital to the nearest tenth; a name that is not known is left out.
    pub fn set(&mut self, name: &str, value: f64) {
        if let Some(place) = place(name) {
            self.set_tenths(place, (value * 10.0).round() as i16);
        }
    }

    /// Sets the vital at a place of [`NAMES`], in tenths.
    pub fn set_tenths(&mut self, place: usize, tenths: i16) {
        if let Some(slot) = self.tenths.get_mut(place) {
            *slot = tenths;
            self.present |= 1 << place;
        }
    }

    /// Takes a vital away.
    pub fn remove(&mut self, name: &str) {
        if let Some(place) = place(name) {
            self.present &= !(1 << place);
        }
    }

    /// The value of a vital: the double that its decimal text reads as.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        let place = place(name)?;
        self.iter().find(|(at, _)| *at == place).map(|(_, tenths)| f64::from(tenths) / 10.0)
    }

    /// The places and tenths of the vitals that have a value.
    pub fn iter(&self) -> impl Iterator<Item = (usize, i16)> + '_ {
        self.tenths.iter().copied().enumerate().filter(|(place, _)| self.present & (1 << place) != 0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.present == 0
    }
}
