//! ID22: what joins an incident and what opens another, and that it survives a restart and ends once.

use super::*;
use crate::memory::{MemoryLog, StoppedClock};
use crate::scratch::Scratch;

const START: Timestamp = Timestamp::from_millis(1_795_233_600_000);

struct House {
    incidents: Incidents,
    database: Database,
    log: Arc<MemoryLog>,
    clock: Arc<StoppedClock>,
}

async fn over(database: Database) -> House {
    let (log, clock) = (Arc::new(MemoryLog::default()), Arc::new(StoppedClock::at(START)));
    let (as_log, as_clock): (Arc<dyn AuditLog>, Arc<dyn Clock>) = (log.clone(), clock.clone());
    House { incidents: Incidents::new(database.clone(), as_log, as_clock), database, log, clock }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl House {
    async fn note(&self, source: &str, kind: EffectKind, workload: &str, joins: Joins) {
        let before = (kind == EffectKind::Revoked).then(|| (START, "earlier by stream other".into()));
        let effect = Effect { workload: name(workload), kind, cause: format!("x by {source}"), before };
        let mut change = self.database.begin().await.unwrap();
        self.incidents.note(&mut change, source, &[effect], joins).await.unwrap();
        change.commit().await.unwrap();
    }

    /// For each incident, the newest first: its source, and its effects by workload.
    async fn shown(&self) -> Vec<String> {
        let shown = |incident: &Incident| {
            let effects = incident
                .effects
                .iter()
                .map(|record| format!(" {} {} {}", record.effect.workload, record.effect.kind.as_str(), record.times));
            format!("{}:{}", incident.source, effects.collect::<String>())
        };
        self.incidents.list(10).await.unwrap().iter().map(shown).collect()
    }
}

#[tokio::test]
async fn a_burst_is_one_incident() {
    use EffectKind::{Quarantined, Revoked, Risk};
    use Joins::{Only, OrOpens};
    let scratch = Scratch::new();
    let path = scratch.path().join("parapet.db");
    let house = over(Database::open(&path).await.unwrap()).await;
    house.note("stream idp", Risk, "bot", Only).await;
    assert_eq!(house.shown().await, [""; 0], "little risk is no incident");
    house.note("stream idp", Quarantined, "bot", OrOpens).await;
    house.clock.advance(JOINS / 2);
    house.note("stream idp", Revoked, "other", OrOpens).await;
    house.note("stream idp", Revoked, "other", OrOpens).await;
    house.clock.advance(JOINS);
    house.note("stream idp", Risk, "bot", Only).await;
    // Another source has its own.
    house.note("stream hr", Revoked, "bot", OrOpens).await;
    // What a policy does because of the risk belongs to it; what has no such reason does not.
    house.incidents.note_quarantine(&name("bot"), "hot").await.unwrap();
    house.incidents.note_quarantine(&name("third"), "hot").await.unwrap();
    house.clock.advance(JOINS + Duration::from_millis(1));
    house.note("stream idp", Risk, "bot", Only).await;
    let mut shown = house.shown().await;
    shown.sort();
    let expected = [
        "policy \"hot\": third quarantined 1",
        "stream hr: bot revoked 1",
        "stream idp: bot quarantined 1 other revoked 2 bot risk 1 bot quarantined 1",
    ];
    assert_eq!(shown, expected);
    assert_eq!(house.log.entries().iter().filter(|entry| entry["action"] == "incidents open").count(), 3);

    // It survives, and a person ends it once.
    let idp =
        house.incidents.list(10).await.unwrap().into_iter().find(|incident| incident.source == "stream idp").unwrap();
    drop(house);
    let house = over(Database::open(&path).await.unwrap()).await;
    let again = house.incidents.show(idp.id).await.unwrap();
    assert_eq!(again, idp);
    assert_eq!(again.effects[1].effect.before, Some((START, "earlier by stream other".into())));
    let by = Person("root@example.com".into());
    house.incidents.end(idp.id, IncidentState::Undone, &by, "forged").await.unwrap();
    for state in [IncidentState::Undone, IncidentState::Closed] {
        assert_eq!(house.incidents.end(idp.id, state, &by, "again").await, Err(IncidentError::NotOpen));
    }
    let ended = house.incidents.show(idp.id).await.unwrap();
    assert_eq!((ended.state, ended.ended), (IncidentState::Undone, Some((by, "forged".to_owned()))));
    // What comes now is another one.
    house.clock.advance(Duration::from_secs(86_400));
    house.note("stream idp", Quarantined, "bot", OrOpens).await;
    assert_eq!(house.shown().await.len(), 4);
    let none = house.incidents.show(IncidentId::new(START, 99)).await;
    assert_eq!(none, Err(IncidentError::None));
}
