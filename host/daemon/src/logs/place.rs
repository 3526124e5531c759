//! Where a reader of merged logs is, as a text that a client hands back to go on.

use std::collections::BTreeMap;

use windlass_containers::logs::LogPosition;
use windlass_model::StepName;

use crate::pipeline::names::MIGRATION_LOG;

/// Which log: of a step or of an instance, of which deployment of the project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) number: u64,
    pub(crate) of: Of,
}

/// What wrote a log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Of {
    /// The step with this place in the table.
    Step(usize),
    /// An instance, as `web.0`.
    Instance(String),
}

impl Of {
    pub(crate) fn step(&self) -> Option<StepName> {
        match self {
            Self::Step(place) => StepName::ALL.get(*place).copied(),
            // What the migration prints is the output of its step.
            Self::Instance(name) => (name == MIGRATION_LOG).then_some(StepName::Migrate),
        }
    }

    pub(crate) fn instance(&self) -> Option<&str> {
        match self {
            Self::Step(_) => None,
            Self::Instance(name) => Some(name),
        }
    }
}

/// Places in several logs; one that is not named is at its beginning.
///
/// As text: `12/3:1.500,web.0:2.4096;13/0:1.80`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places(pub(crate) BTreeMap<Origin, LogPosition>);

impl Places {
    /// Deployments that are named, by number.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.0.keys().map(|origin| origin.number).collect();
        numbers.dedup();
        numbers
    }

    /// As a client got it; `None` when it is not one of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut places = BTreeMap::new();
        for group in text.split(';').filter(|group| !group.is_empty()) {
            let (number, logs) = group.split_once('/')?;
            let number = number.parse().ok()?;
            for log in logs.split(',').filter(|log| !log.is_empty()) {
                let (of, place) = log.rsplit_once(':')?;
                let (file, offset) = place.split_once('.')?;
                let of = of.parse().map_or_else(|_| Of::Instance(of.to_owned()), Of::Step);
                let place = LogPosition { file: file.parse().ok()?, offset: offset.parse().ok()? };
                places.insert(Origin { number, of }, place);
            }
        }
        Some(Self(places))
    }
}

impl std::fmt::Display for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut last = None;
        for (origin, place) in &self.0 {
            match last {
                Some(number) if number == origin.number => f.write_str(",")?,
                Some(_) => write!(f, ";{}/", origin.number)?,
                None => write!(f, "{}/", origin.number)?,
            }
            last = Some(origin.number);
            match &origin.of {
                Of::Step(step) => write!(f, "{step}")?,
                Of::Instance(name) => f.write_str(name)?,
            }
            write!(f, ":{}.{}", place.file, place.offset)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_as_they_went() {
        let text = "12/3:1.500,web.0:2.4096;13/0:1.80";
        let places = Places::parse(text).unwrap();
        assert_eq!(places.0.len(), 3);
        assert_eq!(places.to_string(), text);
        assert_eq!(places.numbers(), [12, 13]);
        assert_eq!(Places::parse("").unwrap(), Places::default());
        for bad in ["x", "12/a", "a/0:1.1", "12/0:1", "12/0:1.x"] {
            assert!(Places::parse(bad).is_none(), "{bad}");
        }
    }
}
