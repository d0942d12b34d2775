//! What operators see, proved with a real Prometheus that scrapes the real service by the shipped
//! configuration: every expression of the dashboards and rules, the alerts with their tests and
//! their headings in the runbook, and one alert that fires and clears when a venue is cut off.

mod bus;
mod clients;
mod dashboards;
mod fault;
#[path = "../bus/nats.rs"]
mod nats;
#[path = "../bus/processes.rs"]
mod processes;
mod prometheus;
mod promql;
mod proof;
mod rules;
#[path = "../scripts/mod.rs"]
mod scripts;
#[path = "../service/mod.rs"]
mod service;
mod shipped;
