//! What is not known of the real API, by name, and every combination of it.

/// A behaviour of the API that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// What a response leaves behind that was cut before `response.completed`.
    StoredAfterCut,
    /// An output that stands before its call: accepted, or refused as an unanswered call.
    OutputBeforeCall,
    /// A second output for one call.
    DuplicateOutput,
    /// A second call with one id.
    DuplicateCall,
    /// A reasoning item with an id that the item it led to does not follow.
    ReasoningPairs,
    /// An `mcp_approval_request` that nothing answers.
    UnansweredApproval,
    /// Which of several unanswered calls the message names.
    MissingIdChoice,
    /// Which fault is named when a call has no output and an output no call.
    FaultOrder,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 8] = [
        Self::StoredAfterCut,
        Self::OutputBeforeCall,
        Self::DuplicateOutput,
        Self::DuplicateCall,
        Self::ReasoningPairs,
        Self::UnansweredApproval,
        Self::MissingIdChoice,
        Self::FaultOrder,
    ];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::StoredAfterCut => "stored_after_cut",
            Self::OutputBeforeCall => "output_before_call",
            Self::DuplicateOutput => "duplicate_output",
            Self::DuplicateCall => "duplicate_call",
            Self::ReasoningPairs => "reasoning_pairs",
            Self::UnansweredApproval => "unanswered_approval",
            Self::MissingIdChoice => "missing_id_choice",
            Self::FaultOrder => "fault_order",
        }
    }

    /// The names of its values; the first is the default.
    pub fn values(self) -> &'static [&'static str] {
        match self {
            Self::StoredAfterCut => &["nothing", "sent", "all"],
            Self::OutputBeforeCall
            | Self::DuplicateOutput
            | Self::DuplicateCall
            | Self::UnansweredApproval => &["accept", "refuse"],
            Self::ReasoningPairs => &["refuse", "accept"],
            Self::MissingIdChoice => &["first", "last"],
            Self::FaultOrder => &["open_first", "orphan_first"],
        }
    }

    /// What is known, in one sentence, for `--help` and the documentation.
    pub fn evidence(self) -> &'static str {
        match self {
            Self::StoredAfterCut => {
                "no statement by OpenAI says what a stream that broke off before response.completed leaves stored"
            }
            Self::OutputBeforeCall => {
                "released Codex versions sent outputs in front of their calls; no report of a refusal"
            }
            Self::DuplicateOutput => {
                "the Agents SDK removes second outputs before sending; no refusal was seen"
            }
            Self::DuplicateCall => "not verified at OpenAI; other servers differ",
            Self::ReasoningPairs => {
                "refusals of lone reasoning items with ids are on record; when they are tolerated is not"
            }
            Self::UnansweredApproval => {
                "OpenAI lists approvals among what a client owes; no refusal text was seen"
            }
            Self::MissingIdChoice => {
                "every refusal on record names one id; which of several is not documented"
            }
            Self::FaultOrder => "no refusal of a request with both faults is on record",
        }
    }

    /// Whether the policy only changes the words of a refusal.
    pub fn is_wording(self) -> bool {
        matches!(self, Self::MissingIdChoice | Self::FaultOrder)
    }

    /// Reads `NAME=VALUE`.
    ///
    /// # Errors
    /// A sentence that names what is possible.
    pub fn parse(text: &str) -> Result<(Self, usize), String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let (name, value) = text.split_once('=').ok_or_else(|| {
            format!(
                "'{text}' is not of the form NAME=VALUE; names are {}",
                names()
            )
        })?;
        let policy = Self::ALL
            .into_iter()
            .find(|policy| policy.name() == name)
            .ok_or_else(|| format!("no policy is called '{name}'; names are {}", names()))?;
        let at = policy
            .values()
            .iter()
            .position(|known| *known == value)
            .ok_or_else(|| {
                format!(
                    "'{value}' is no value of {name}; values are {}",
                    policy.values().join(", ")
                )
            })?;
        Ok((policy, at))
    }

    /// The number of worlds between two neighbouring values.
    fn stride(self) -> u16 {
        match self {
            Self::StoredAfterCut => 1,
            Self::OutputBeforeCall => 3,
            Self::DuplicateOutput => 6,
            Self::DuplicateCall => 12,
            Self::ReasoningPairs => 24,
            Self::UnansweredApproval => 48,
            Self::MissingIdChoice => 96,
            Self::FaultOrder => 192,
        }
    }
}

/// What a cut response leaves stored, see [`Policy::StoredAfterCut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stored {
    /// Its id is unknown.
    Nothing,
    /// The items that were sent whole.
    Sent,
    /// What the model would have made of it: the half items too.
    All,
}

impl Stored {
    /// All values, in the order of [`Policy::StoredAfterCut`].
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Sent, Self::All];
}

const WORLDS: u16 = 384;

/// One choice for every policy. Worlds are numbered; number 0 has every default, and near ones differ little from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct World(u16);

impl World {
    /// The world of the defaults.
    pub const DEFAULT: Self = Self(0);

    /// The index of this world's value among [`Policy::values`].
    pub fn value(self, policy: Policy) -> usize {
        (self.0 / policy.stride()) as usize % policy.values().len()
    }

    /// The value's name.
    pub fn value_name(self, policy: Policy) -> &'static str {
        policy
            .values()
            .get(self.value(policy))
            .copied()
            .unwrap_or("")
    }

    /// This world with another value of one policy.
    #[must_use]
    pub fn with(self, policy: Policy, value: usize) -> Self {
        let stride = policy.stride();
        let old = self.value(policy) as u16;
        Self(self.0 - old * stride + (value as u16 % policy.values().len() as u16) * stride)
    }

    /// Whether the policy's value here is `refuse`.
    pub fn refuses(self, policy: Policy) -> bool {
        self.value_name(policy) == "refuse"
    }

    /// What a cut response leaves stored.
    pub fn stored(self) -> Stored {
        Stored::ALL
            .get(self.value(Policy::StoredAfterCut))
            .copied()
            .unwrap_or(Stored::Nothing)
    }

    /// Whether the message names the last unanswered call.
    pub fn missing_last(self) -> bool {
        self.value(Policy::MissingIdChoice) == 1
    }

    /// Whether an orphan is named before an open call.
    pub fn orphan_first(self) -> bool {
        self.value(Policy::FaultOrder) == 1
    }

    /// Whether the two differ in `policy` and, of `relevant`, in nothing else.
    pub fn equal_but_for(self, other: Self, policy: Policy, relevant: &[Policy]) -> bool {
        self.value(policy) != other.value(policy)
            && relevant
                .iter()
                .all(|&p| p == policy || self.value(p) == other.value(p))
    }
}

/// The worlds that are still possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldSet([u64; 6]);

impl Default for WorldSet {
    fn default() -> Self {
        Self([u64::MAX; 6])
    }
}

impl WorldSet {
    /// All worlds in which the given policies have the given values.
    pub fn fixed(choices: &[(Policy, usize)]) -> Self {
        let mut set = Self::default();
        set.retain(|world| {
            choices
                .iter()
                .all(|&(policy, value)| world.value(policy) == value)
        });
        set
    }

    /// All worlds of the set, nearest to the defaults first.
    pub fn iter(&self) -> impl Iterator<Item = World> + '_ {
        (0..WORLDS).map(World).filter(|&world| self.contains(world))
    }

    /// Whether a world is in the set.
    pub fn contains(&self, world: World) -> bool {
        self.0
            .get(world.0 as usize / 64)
            .is_some_and(|word| word >> (world.0 % 64) & 1 == 1)
    }

    fn add(&mut self, world: World) {
        if let Some(word) = self.0.get_mut(world.0 as usize / 64) {
            *word |= 1 << (world.0 % 64);
        }
    }

    /// Whether no world is left.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Keeps the worlds for which `keep` holds.
    pub fn retain(&mut self, keep: impl Fn(World) -> bool) {
        for number in 0..WORLDS {
            let world = World(number);
            if self.contains(world)
                && !keep(world)
                && let Some(word) = self.0.get_mut(number as usize / 64)
            {
                *word &= !(1 << (number % 64));
            }
        }
    }

    /// One world for every combination of values of `relevant` in the set, nearest to the defaults first.
    pub fn groups(&self, relevant: &[Policy]) -> Vec<World> {
        if relevant.is_empty() {
            return self.iter().take(1).collect();
        }
        let mut seen = Self([0; 6]);
        let mut found = Vec::new();
        for world in self.iter() {
            // the world with the same values of the relevant policies and the first of all others
            let like = relevant
                .iter()
                .map(|&policy| world.value(policy) as u16 * policy.stride())
                .sum();
            if !seen.contains(World(like)) {
                seen.add(World(like));
                found.push(world);
            }
        }
        found
    }

    /// The policies of which only one value is left, with its name.
    pub fn settled(&self) -> Vec<(Policy, &'static str)> {
        Policy::ALL
            .into_iter()
            .filter_map(|policy| {
                let mut values = self.iter().map(|world| world.value_name(policy));
                let first = values.next()?;
                values
                    .all(|value| value == first)
                    .then_some((policy, first))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_are_all_combinations_and_zero_is_the_default() {
        assert_eq!(WorldSet::default().iter().count(), 384);
        for policy in Policy::ALL {
            assert_eq!(World::DEFAULT.value(policy), 0);
            for value in 0..policy.values().len() {
                let world = World(77).with(policy, value);
                assert_eq!(world.value(policy), value);
                for other in Policy::ALL.into_iter().filter(|p| *p != policy) {
                    assert_eq!(world.value(other), World(77).value(other));
                }
            }
        }
    }

    #[test]
    fn a_fixed_policy_has_one_value_left() {
        let set = WorldSet::fixed(&[Policy::parse("stored_after_cut=sent").unwrap()]);
        assert_eq!(set.settled(), [(Policy::StoredAfterCut, "sent")]);
        assert_eq!(set.groups(&[Policy::StoredAfterCut]).len(), 1);
        assert_eq!(set.groups(&[Policy::OutputBeforeCall]).len(), 2);
    }

    #[test]
    fn wrong_policies_are_named_with_what_is_possible() {
        assert!(
            Policy::parse("x=y")
                .unwrap_err()
                .contains("stored_after_cut")
        );
        assert!(
            Policy::parse("fault_order=y")
                .unwrap_err()
                .contains("open_first")
        );
        assert!(
            Policy::parse("fault_order")
                .unwrap_err()
                .contains("NAME=VALUE")
        );
    }
}
