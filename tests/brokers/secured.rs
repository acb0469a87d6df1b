//! TLS and logins, in each form that settings can give them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream::log::kafka::KafkaLog;
use millstream::log::{Fetched, Log, LogError, Outbox, Session, Writer};
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::symm::Cipher;
use openssl::x509::X509;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::log_support::{
    committed, group_offset, join_alone, membership, new_topic, outbox, poll_records, unique,
    write_numbers,
};
use crate::support::broker::{Broker, free_ports, jars};
use crate::{log, new_folder};

/// How long a login holds.
const HOLDS: Duration = Duration::from_secs(3);

/// A broker with a door of each kind.
struct Fortress {
    _broker: Broker,
    tls: String,
    mutual: String,
    login: String,
    both: String,
}

impl Fortress {
    fn start(libs: &Path, folder: &Path) -> Self {
        let ports: [u16; 6] = free_ports();
        let [open, tls, mutual, login, both, controller] = ports;
        let (keys, authority) = (folder.join("server.pem"), folder.join("authority.pem"));
        let (keys, authority) = (keys.display(), authority.display());
        let door = |name: &str| {
            let enabled = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512";
            format!(
                "\
listener.name.{name}.sasl.enabled.mechanisms={enabled}
listener.name.{name}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"rabbit hole\";
listener.name.{name}.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.{name}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"
            )
        };
        let (login_door, both_door) = (door("login"), door("both"));
        let holds = HOLDS.as_millis();
        let settings = format!(
            "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=OPEN://127.0.0.1:{open},TLS://localhost:{tls},MUTUAL://localhost:{mutual},LOGIN://127.0.0.1:{login},BOTH://localhost:{both},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=OPEN:PLAINTEXT,TLS:SSL,MUTUAL:SSL,LOGIN:SASL_PLAINTEXT,BOTH:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=OPEN
ssl.keystore.type=PEM
ssl.keystore.location={keys}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.mutual.ssl.client.auth=required
connections.max.reauth.ms={holds}
auto.create.topics.enable=true
{login_door}{both_door}"
        );
        let scram = |mechanism: &str| format!("{mechanism}=[name=alice,password=rabbit hole]");
        let (scram_256, scram_512) = (scram("SCRAM-SHA-256"), scram("SCRAM-SHA-512"));
        let told = ["--add-scram", &scram_256, "--add-scram", &scram_512];
        let mut broker = Broker::new(libs, &folder.join("broker"), &settings, &told);
        let address = |host, port| format!("{host}:{port}");
        let own = log(&[("bootstrap.servers", &address("127.0.0.1", open))]);
        broker.start(|| own.topics().is_ok());
        Self {
            _broker: broker,
            tls: address("localhost", tls),
            mutual: address("localhost", mutual),
            login: address("127.0.0.1", login),
            both: address("localhost", both),
        }
    }
}

/// An authority, and certificates of it for the broker and for a client, in the forms that are used.
fn write_certificates(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Another name than that of what it signs, which would else be taken for an authority too.
    params
        .distinguished_name
        .push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    write("authority.pem", authority.pem().as_bytes());
    let certificate = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        (key.serialize_pem(), signed.pem())
    };
    let (key, signed) = certificate(&["localhost", "127.0.0.1"]);
    write("server.pem", format!("{key}{signed}").as_bytes());

    let (key, signed) = certificate(&["client"]);
    write("client.pem", signed.as_bytes());
    let key = PKey::private_key_from_pem(key.as_bytes()).unwrap();
    let locked = key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"open sesame");
    write("client.key", &locked.unwrap());
    let signed = X509::from_pem(signed.as_bytes()).unwrap();
    let store = Pkcs12::builder()
        .pkey(&key)
        .cert(&signed)
        .build2("open sesame")
        .unwrap();
    write("client.p12", &store.to_der().unwrap());
}

/// Writes, reads and commits.
fn works(log: &KafkaLog, how: &str) {
    let topic = new_topic(log, 2);
    for partition in 0..2 {
        write_numbers(log, &topic, partition, 20);
    }
    let mut session = join_alone(log, &membership(&unique("group"), 0, &[&topic]), 2);
    assert_eq!(poll_records(&mut session, 40).len(), 40, "{how}");
    let stand = [group_offset(&topic, 0, 20), group_offset(&topic, 1, 20)];
    session.commit(&Outbox::new(), &stand).unwrap();
    assert_eq!(committed(&mut session), stand, "{how}");
}

#[test]
fn records_are_fetched_through_every_kind_of_door() {
    let Some(libs) = jars() else { return };
    let folder = new_folder("secured");
    write_certificates(&folder);
    let fortress = Fortress::start(&libs, &folder);
    let path = |name: &str| folder.join(name).display().to_string();
    let authority = path("authority.pem");
    let pem = std::fs::read_to_string(&authority).unwrap();
    let (certificate, key, store) = (path("client.pem"), path("client.key"), path("client.p12"));
    let alice = |protocol, mechanism| {
        [
            ("security.protocol", protocol),
            ("sasl.mechanism", mechanism),
            ("sasl.username", "alice"),
            ("sasl.password", "rabbit hole"),
        ]
    };
    let tls = ("security.protocol", "ssl");
    let trusts = ("ssl.ca.location", &*authority);
    let works = |address: &str, settings: &[(&str, &str)]| {
        let all = [&[("bootstrap.servers", address)], settings].concat();
        works(&log(&all), &format!("{settings:?}"));
    };

    works(&fortress.tls, &[tls, trusts]);
    works(&fortress.tls, &[tls, ("ssl.ca.pem", &pem)]);
    works(
        &fortress.tls,
        &[tls, ("enable.ssl.certificate.verification", "false")],
    );
    let suites = [
        ("ssl.cipher.suites", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("ssl.curves.list", "P-256"),
    ];
    works(&fortress.tls, &[&[tls, trusts], &suites[..]].concat());
    let own = [
        ("ssl.certificate.location", &*certificate),
        ("ssl.key.location", &key),
    ];
    let password = ("ssl.key.password", "open sesame");
    works(
        &fortress.mutual,
        &[&[tls, trusts, password], &own[..]].concat(),
    );
    let store = [
        ("ssl.keystore.location", &*store),
        ("ssl.keystore.password", "open sesame"),
    ];
    works(&fortress.mutual, &[&[tls, trusts], &store[..]].concat());
    let [certificate, key] =
        [&certificate, &key].map(|path| std::fs::read_to_string(path).unwrap());
    let texts = [
        ("ssl.certificate.pem", &*certificate),
        ("ssl.key.pem", &key),
        ("ssl.sigalgs.list", "ECDSA+SHA256"),
    ];
    works(
        &fortress.mutual,
        &[&[tls, trusts, password], &texts[..]].concat(),
    );
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        works(&fortress.login, &alice("sasl_plaintext", mechanism));
    }
    works(
        &fortress.both,
        &[&alice("sasl_ssl", "SCRAM-SHA-512")[..], &[trusts]].concat(),
    );

    // A login that holds for seconds is made anew, without a record lost or read twice.
    let settings = [
        &alice("sasl_plaintext", "SCRAM-SHA-256")[..],
        &[("bootstrap.servers", &*fortress.login)],
    ];
    let log = log(&settings.concat());
    let topic = new_topic(&log, 1);
    let mut session = join_alone(&log, &membership(&unique("group"), 0, &[&topic]), 1);
    let (begun, mut next) = (Instant::now(), 0);
    while begun.elapsed() < 3 * HOLDS {
        write_numbers(&log, &topic, 0, 5);
        for record in poll_records(&mut session, 5) {
            assert_eq!(record.offset.0, next);
            next += 1;
        }
    }

    // This broker makes topics that are asked for, and is never asked in such a way.
    let never: Arc<str> = unique("never").into();
    let refused = log.writer().unwrap().append(&outbox(&never, &[(0, "x")]));
    assert!(matches!(refused, Err(LogError::NoTopic(_))), "{refused:?}");
    log.delete_topics(&[topic.to_string()]).unwrap();
    let deleted = Instant::now();
    while deleted.elapsed() < HOLDS {
        // That the topic is gone may be told or not yet.
        let _ = session.poll(&mut Fetched::new(), Duration::from_millis(100));
    }
    let names: Vec<String> = log
        .topics()
        .unwrap()
        .into_iter()
        .map(|topic| topic.name)
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| **name == *never || **name == *topic),
        "{names:?}"
    );
    drop(session);
    drop(log);
    drop(fortress);
    std::fs::remove_dir_all(folder).unwrap();
}
