//! The clients of the services: from flags and the usual environment, or without both against a broker on this machine.

use std::{env, error::Error as StdError, fmt, net::IpAddr, str::FromStr};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_credential_types::Credentials;
use aws_sdk_kinesis::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
};
use kcl_core::StreamName;

use crate::{cli::GLOBAL, error::Error};

/// What clients of a local broker get when the environment says nothing; the broker accepts anything.
const LOCAL_REGION: &str = "us-east-1";
const LOCAL_CREDENTIAL: &str = "local";

/// One more than the SDK's own three and then some: a call is cheap to repeat, and a command that gave up is not.
const ATTEMPTS: u32 = 5;
const LOCAL_ATTEMPTS: u32 = 2;

/// Where the service is, and as whom to speak to it.
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectionArgs {
    /// Speak to this address instead of AWS, such as http://127.0.0.1:4567 [default: as KCL_ENDPOINT or AWS_ENDPOINT_URL
    /// says]. On a loopback address no credentials and no region are needed.
    // Not read by clap, which would then show it in the usage line of every error.
    #[arg(long, global = true, value_name = "URL", help_heading = GLOBAL)]
    pub(crate) endpoint: Option<Endpoint>,

    /// The AWS region [default: as AWS_REGION or the profile says].
    #[arg(long, global = true, value_name = "REGION", help_heading = GLOBAL)]
    region: Option<String>,

    /// The profile of the AWS configuration [default: as AWS_PROFILE says].
    #[arg(long, global = true, value_name = "NAME", help_heading = GLOBAL)]
    profile: Option<String>,
}

/// The address of a service: `http` or `https`, a host, and a port if wished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    url: String,
    is_loopback: bool,
    is_plain: bool,
}

impl ConnectionArgs {
    /// The address of Kinesis that is given, here or by the environment.
    pub(crate) fn endpoint(&self) -> Result<Option<Endpoint>, Error> {
        self.endpoint_of(KINESIS_ENDPOINT)
    }

    /// The region that is given.
    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The address of the service that `variable` is for.
    fn endpoint_of(&self, variable: &'static str) -> Result<Option<Endpoint>, Error> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(Some(endpoint.clone()));
        }
        match endpoint_in(OWN_ENDPOINT)? {
            Some(endpoint) => Ok(Some(endpoint)),
            None => endpoint_of_environment(variable),
        }
    }

    /// Settings for the client of the service that `variable` gives the address of, and the name of that place. No request
    /// is made, except for those that find credentials and region on AWS's own machines.
    async fn load(&self, variable: &'static str) -> Result<(SdkConfig, String), Error> {
        let endpoint = self.endpoint_of(variable)?;
        // A service on this machine is there or is not: more attempts would only make the user wait for the word.
        let local = endpoint.as_ref().is_some_and(|endpoint| endpoint.is_loopback);
        let attempts = if local { LOCAL_ATTEMPTS } else { ATTEMPTS };
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(attempts));
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &endpoint {
            loader = loader.endpoint_url(endpoint.as_str());
        }
        if local {
            if endpoint.as_ref().is_some_and(|endpoint| endpoint.is_plain) {
                // Neither certificates nor a proxy have a part in this, and both would cost time.
                loader = loader.http_client(aws_smithy_http_client::Builder::new().build_http());
            }
            // Whoever names no identity must not wait for one to be looked for on the network.
            if self.profile.is_none() && !environment_has(&CREDENTIAL_VARIABLES) {
                let dummy = Credentials::new(LOCAL_CREDENTIAL, LOCAL_CREDENTIAL, None, None, "kclctl");
                loader = loader.credentials_provider(dummy);
            }
            if self.region.is_none() && self.profile.is_none() && !environment_has(&REGION_VARIABLES) {
                loader = loader.region(Region::new(LOCAL_REGION));
            }
        }
        let config = Box::pin(loader.load()).await;
        let Some(region) = config.region() else {
            return Err(Error::Usage(
                "no AWS region is known: give --region, set AWS_REGION, or name a broker with --endpoint".to_owned(),
            ));
        };
        let place = match (endpoint, config.endpoint_url()) {
            (Some(endpoint), _) => endpoint.url,
            (None, Some(url)) => url.to_owned(),
            (None, None) => format!("AWS, region {region}"),
        };
        Ok((config, place))
    }

    /// Where lease tables are looked for, if that is no place of AWS.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn place_of_tables(&self) -> Result<Option<String>, Error> {
        Ok(self.endpoint_of(DYNAMODB_ENDPOINT)?.map(|endpoint| endpoint.url))
    }

    /// The client of the service that takes metrics.
    #[cfg(feature = "cloudwatch")]
    pub(crate) async fn cloudwatch(&self) -> Result<aws_sdk_cloudwatch::Client, Error> {
        let (config, _) = self.load(CLOUDWATCH_ENDPOINT).await?;
        Ok(aws_sdk_cloudwatch::Client::new(&config))
    }

    /// The client of the service that lease tables are in.
    #[cfg(feature = "dynamodb")]
    pub(crate) async fn dynamodb(&self) -> Result<aws_sdk_dynamodb::Client, Error> {
        let (config, _) = self.load(DYNAMODB_ENDPOINT).await?;
        Ok(aws_sdk_dynamodb::Client::new(&config))
    }
}

impl Endpoint {
    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }

    /// Whether it is spoken to without TLS.
    pub(crate) const fn is_plain(&self) -> bool {
        self.is_plain
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("{text:?} is not an address such as http://127.0.0.1:4567");
        let uri: http::Uri = text.parse().map_err(|_| problem())?;
        let scheme = uri
            .scheme_str()
            .filter(|scheme| matches!(*scheme, "http" | "https"))
            .ok_or_else(problem)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(problem)?;
        let loopback = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        };
        Ok(Self {
            url: text.to_owned(),
            is_loopback: loopback,
            is_plain: scheme == "http",
        })
    }
}

/// A client, and the name of the place that it speaks to.
#[derive(Clone, Debug)]
pub(crate) struct Kinesis {
    pub(crate) client: Client,
    pub(crate) place: String,
}

impl Kinesis {
    /// Makes the client.
    pub(crate) async fn connect(args: &ConnectionArgs) -> Result<Self, Error> {
        let (config, place) = args.load(KINESIS_ENDPOINT).await?;
        Ok(Self {
            client: Client::new(&config),
            place,
        })
    }

    /// Reads the failure of a request.
    pub(crate) fn error<E, R>(&self, operation: &'static str, error: &SdkError<E, R>) -> ServiceError
    where
        E: StdError + ProvideErrorMetadata + 'static,
        R: fmt::Debug + 'static,
    {
        let what = match (error, error.code()) {
            (_, Some(code)) => Trouble::Refused {
                code: code.to_owned(),
                message: error.message().unwrap_or_default().to_owned(),
            },
            (SdkError::DispatchFailure(failure), _) if failure.is_io() || failure.is_timeout() => {
                Trouble::Unreachable {
                    place: self.place.clone(),
                    cause: innermost(error),
                }
            }
            _ => Trouble::Other { cause: causes(error) },
        };
        ServiceError { operation, what }
    }

    /// Reads the failure of a request about `stream`.
    pub(crate) fn stream_error<E, R>(
        &self,
        operation: &'static str,
        stream: &StreamName,
        error: &SdkError<E, R>,
    ) -> Error
    where
        E: StdError + ProvideErrorMetadata + 'static,
        R: fmt::Debug + 'static,
    {
        match error.code() {
            Some("ResourceNotFoundException") => self.unknown_stream(stream),
            _ => self.error(operation, error).into(),
        }
    }

    pub(crate) fn unknown_stream(&self, stream: &StreamName) -> Error {
        Error::UnknownStream {
            stream: stream.clone(),
            place: self.place.clone(),
        }
    }
}

/// A request to the service failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {what}")]
pub(crate) struct ServiceError {
    operation: &'static str,
    what: Trouble,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{code}: {message}")]
    Refused { code: String, message: String },
    #[error("{place} cannot be reached ({cause}); check --endpoint, and whether the broker runs")]
    Unreachable { place: String, cause: String },
    #[error("{cause}")]
    Other { cause: String },
}

const OWN_ENDPOINT: &str = "KCL_ENDPOINT";
const KINESIS_ENDPOINT: &str = "AWS_ENDPOINT_URL_KINESIS";
#[cfg(feature = "cloudwatch")]
const CLOUDWATCH_ENDPOINT: &str = "AWS_ENDPOINT_URL_CLOUDWATCH";
#[cfg(feature = "dynamodb")]
const DYNAMODB_ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";

const CREDENTIAL_VARIABLES: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];
const REGION_VARIABLES: [&str; 3] = ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"];

fn environment_has(variables: &[&str]) -> bool {
    variables
        .iter()
        .any(|variable| env::var_os(variable).is_some_and(|value| !value.is_empty()))
}

/// The SDK reads these variables by itself; they are looked at here to know whether the address is this machine's own.
fn endpoint_of_environment(of_service: &'static str) -> Result<Option<Endpoint>, Error> {
    let ignored = env::var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    if ignored {
        return Ok(None);
    }
    match endpoint_in(of_service)? {
        Some(endpoint) => Ok(Some(endpoint)),
        None => endpoint_in("AWS_ENDPOINT_URL"),
    }
}

/// The address that a variable has.
fn endpoint_in(variable: &str) -> Result<Option<Endpoint>, Error> {
    let url = env::var(variable).ok().filter(|url| !url.is_empty());
    let parse = |url: String| {
        url.parse()
            .map_err(|problem| Error::Usage(format!("{variable}: {problem}")))
    };
    url.map(parse).transpose()
}

pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// All causes below the SDK's own words, such as "dispatch failure", which say little.
fn causes(error: &(dyn StdError + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), crate::error::chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_endpoints_are_recognised() {
        for (url, loopback) in [
            ("http://127.0.0.1:4567", true),
            ("http://127.9.9.9", true),
            ("http://localhost:4567", true),
            ("http://kinesis.localhost:4567", true),
            ("http://[::1]:4567/", true),
            ("https://127.0.0.1:4567", true),
            ("http://10.0.0.1:4567", false),
            ("http://localhost.example.com", false),
            ("https://kinesis.eu-west-1.amazonaws.com", false),
        ] {
            assert_eq!(url.parse::<Endpoint>().unwrap().is_loopback, loopback, "{url}");
        }
    }

    #[test]
    fn an_endpoint_has_a_scheme_and_a_host() {
        for wrong in ["", "127.0.0.1:4567", "localhost", "ftp://localhost", "http://", "/path"] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
