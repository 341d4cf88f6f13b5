//! How fast requests may follow each other at one provider, learnt from how it answers. Pure.
//!
//! The rate grows a little with each answer and shrinks with each refusal: to a half where it is
//! far too high, less where it was right for a while. Some providers refuse every so many-th
//! request however slowly they come: those are told from the others, since no pace helps there. How
//! long to stay away after a refusal is another question
//! ([`crate::gateway::error::GatewayError::retry_after`] answers it).

use std::time::Duration;

/// Each answer makes the rate so many times what it was,
const INCREASE: f64 = 1.02;
/// and so many requests a second more, so that a slow one need not take hours to win it back.
const STEP: f64 = 0.005;
/// The rate shrinks to this part of itself with a refusal.
const DECREASE: f64 = 0.5;
/// The same where it was right for [`LONG_RUN`] answers: hardly too high.
const SLIGHT_DECREASE: f64 = 0.85;
/// So many answers without a refusal say that the rate is about right.
const LONG_RUN: u32 = 4;
/// So many answers make a single refusal forgotten.
const FORGIVEN: u32 = 32;
/// The longest run of answers between refusals that may mean "every so many-th is refused".
const SHORT_RUN: u32 = 3;
/// A request that comes so long after the one before it is no part of a volley.
const LONG_GAP: Duration = Duration::from_secs(1);
/// The slowest pace that is kept: who wants less says so, or is left alone by other rules.
const SLOWEST: f64 = 1.0 / 10.0;
/// Above this rate a provider needs no pace.
const FREE: f64 = 50.0;
/// The pace after the first refusal where nothing is known of the rate before it.
const FIRST: f64 = 2.0;
/// Weight of the newest gap in the average of gaps.
const WEIGHT: f64 = 0.2;
/// The rate that was learnt doubles for each such time in which it was not tried.
const HALF_LIFE: Duration = Duration::from_secs(6 * 60 * 60);

/// The pace of requests to one provider.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pace {
    /// Requests a second; `None` as long as nothing was refused, and where no pace helps.
    limit: Option<f64>,
    /// Moving average of the seconds between requests.
    usual_gap: Option<f64>,
    /// The last time between two requests.
    last_gap: Duration,
    /// Answers since the last refusal.
    run: u32,
    /// Whether it has refused a request not long ago: once may be a bad moment, twice is a limit.
    is_warned: bool,
    /// Answers between the last two refusals, if those were few and the requests far apart.
    short_run: Option<u32>,
}

impl Pace {
    /// The least time between the starts of two requests; zero where there is no limit.
    pub fn interval(&self) -> Duration {
        self.limit
            .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate))
    }

    /// How long the next request has to wait, `since` after the last one began.
    pub fn wait(&self, since: Duration) -> Duration {
        self.interval().saturating_sub(since)
    }

    /// After a request that was sent `gap` after the one before it.
    #[must_use]
    pub fn sent(self, gap: Duration) -> Self {
        let seconds = gap.as_secs_f64();
        let usual = self
            .usual_gap
            .map_or(seconds, |usual| usual + WEIGHT * (seconds - usual));
        Self {
            usual_gap: Some(usual),
            last_gap: gap,
            ..self
        }
    }

    /// After an answer that was no refusal.
    #[must_use]
    pub fn accepted(self) -> Self {
        let limit = self.limit.map(|rate| rate * INCREASE + STEP);
        Self {
            limit: limit.filter(|&rate| rate < FREE),
            run: self.run.saturating_add(1),
            is_warned: self.is_warned && self.run < FORGIVEN,
            ..self
        }
    }

    /// After an answer 429 or 503, `since` after the last such one. Refusals that come closer
    /// together than requests may are those of requests that were under way together: they count
    /// once.
    #[must_use]
    pub fn refused(self, since: Option<Duration>) -> Self {
        if self.limit.is_some() && since.is_some_and(|since| since < self.interval()) {
            return self;
        }
        let is_first = !self.is_warned && self.limit.is_none();
        let is_short = self.last_gap >= LONG_GAP && (1..=SHORT_RUN).contains(&self.run);
        let short_run = is_short.then_some(self.run);
        // Slower, and refused just as soon: a rate limit would have let more pass.
        let is_deaf = is_short && self.short_run == short_run;
        Self {
            limit: (!is_deaf && !is_first).then(|| self.slower()),
            is_warned: true,
            run: 0,
            short_run,
            ..self
        }
    }

    fn slower(&self) -> f64 {
        let usual = self.usual_gap.map(|gap| 1.0 / gap.max(1.0 / FREE));
        // The real rate may be far below the limit, and was too much all the same.
        let rate = match (self.limit, usual) {
            (Some(limit), Some(usual)) => limit.min(usual),
            (limit, usual) => limit.or(usual).unwrap_or(FIRST / DECREASE),
        };
        let factor = match self.run >= LONG_RUN && self.limit.is_some() {
            true => SLIGHT_DECREASE,
            false => DECREASE,
        };
        (rate * factor).max(SLOWEST)
    }

    /// After `age` without a request: what was learnt counts less and less.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        let factor = (age.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        let limit = self.limit.map(|rate| rate * factor);
        Self {
            limit: limit.filter(|&rate| rate < FREE),
            ..self
        }
    }

    /// The interval in microseconds for the store; `None` where there is no limit.
    pub fn encode(&self) -> Option<u64> {
        self.limit?;
        u64::try_from(self.interval().as_micros()).ok()
    }

    /// Reads what [`Pace::encode`] wrote. A value that cannot be is brought back into bounds.
    pub fn decode(micros: Option<u64>) -> Self {
        let limit = micros.map(|micros| 1e6 / (micros.max(1) as f64));
        Self {
            limit: limit
                .map(|rate| rate.max(SLOWEST))
                .filter(|&rate| rate < FREE),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_refusal_halves_the_rate_and_answers_win_it_back() {
        let pace = Pace::default();
        assert_eq!(pace.interval(), ms(0));
        assert_eq!(pace.accepted().interval(), ms(0));
        let pace = pace.sent(ms(250)).refused(None);
        assert_eq!(pace.interval(), ms(0), "once is nothing");
        let pace = pace.refused(None);
        assert_eq!(pace.interval(), ms(500));
        assert_eq!((pace.wait(ms(100)), pace.wait(ms(900))), (ms(400), ms(0)));
        let faster = (0..20).fold(pace, |pace, _| pace.accepted());
        assert!(faster.interval() < ms(350), "{:?}", faster.interval());
        let slower = faster.refused(None);
        assert!(slower.interval() < ms(420), "{:?}", slower.interval());
        let freed = (0..1000).fold(pace, |pace, _| pace.accepted());
        assert_eq!(freed.interval(), ms(0));
    }

    #[test]
    fn refusals_of_one_volley_count_once() {
        let pace = Pace::default().sent(ms(1000)).refused(None).refused(None);
        assert_eq!(pace.interval(), ms(2000));
        assert_eq!(pace.refused(Some(ms(10))), pace);
        assert_eq!(pace.refused(Some(ms(1999))), pace);
        assert_eq!(pace.refused(Some(ms(2000))).interval(), ms(4000));
    }

    #[test]
    fn a_refusal_below_the_limit_lowers_it_below_what_was_sent() {
        let pace = Pace::decode(Some(100_000)).sent(ms(4000)).refused(None);
        assert_eq!(pace.interval(), ms(8000));
    }

    #[test]
    fn the_slowest_pace_is_one_in_ten_seconds() {
        let pace = (0..99).fold(Pace::default(), |pace, _| pace.refused(None));
        assert_eq!(pace.interval(), Duration::from_secs(10));
        let second = Pace::default().refused(None).refused(None);
        assert_eq!(second.interval(), ms(500));
    }

    /// Asks a provider as fast as the pace allows, and a second after a refusal at the earliest;
    /// gives the requests and the refusals of the second half of an hour.
    fn ask(gap: Duration, mut is_refused: impl FnMut(f64) -> bool) -> (u32, u32) {
        let (mut pace, mut now, mut refused_at) = (Pace::default(), 0.0, None::<f64>);
        let (mut requests, mut refusals) = (0, 0);
        let mut next = gap.as_secs_f64();
        while now < 3600.0 {
            pace = pace.sent(Duration::from_secs_f64(next));
            now += next;
            let counts = u32::from(now > 1800.0);
            requests += counts;
            let mut rest = gap.as_secs_f64();
            if is_refused(now) {
                let since = refused_at.map(|at| Duration::from_secs_f64(now - at));
                pace = pace.refused(since);
                (refused_at, refusals, rest) = (Some(now), refusals + counts, 1.0);
            } else {
                pace = pace.accepted();
            }
            next = pace.interval().as_secs_f64().max(rest);
        }
        (requests, refusals)
    }

    #[test]
    fn a_rate_limit_is_found_and_kept() {
        for (rate, burst) in [(0.2, 1.0), (1.0, 1.0), (1.0, 20.0), (5.0, 5.0)] {
            let (mut tokens, mut last) = (burst, 0.0);
            let bucket = |now: f64| {
                tokens = f64::min(burst, tokens + (now - last) * rate);
                last = now;
                let is_refused = tokens < 1.0;
                tokens -= if is_refused { 0.0 } else { 1.0 };
                is_refused
            };
            let (requests, refusals) = ask(ms(20), bucket);
            let used = f64::from(requests - refusals) / (1800.0 * rate);
            let wasted = f64::from(refusals) / f64::from(requests);
            assert!(used > 0.7, "{rate}: {used} of the rate is used");
            assert!(wasted < 0.2, "{rate}: {wasted} is refused");
        }
    }

    #[test]
    fn no_pace_is_kept_where_none_helps() {
        for every in [2, 3] {
            let mut count = 0;
            let (requests, _) = ask(ms(1500), |_| {
                count += 1;
                count % every == 0
            });
            assert!(requests > 1200, "{requests} in half an hour");
        }
    }

    #[test]
    fn what_is_old_counts_less() {
        let pace = Pace::decode(Some(1_000_000));
        assert_eq!(pace.aged(Duration::ZERO), pace);
        assert_eq!(pace.aged(HALF_LIFE).interval(), ms(500));
        assert_eq!(pace.aged(Duration::from_secs(3600 * 240)).interval(), ms(0));
        assert_eq!(pace.aged(Duration::MAX).interval(), ms(0));
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_bounds(micros: Option<u64>, steps in prop::collection::vec((0u8..4, any::<u32>()), 0..50)) {
            let mut pace = Pace::decode(micros);
            for (step, millis) in steps {
                let time = Duration::from_millis(u64::from(millis));
                pace = match step {
                    0 => pace.sent(time),
                    1 => pace.accepted(),
                    2 => pace.refused(Some(time)),
                    _ => pace.aged(time),
                };
                prop_assert!(pace.interval() <= Duration::from_secs(61));
                let again = Pace::decode(pace.encode()).interval();
                let difference = again.abs_diff(pace.interval());
                prop_assert!(difference <= Duration::from_millis(1), "{:?}", difference);
            }
        }
    }
}
