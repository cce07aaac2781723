//! Which addresses a name has: as the system says, or only the public ones of those, or, in a test, the one of its own
//! server.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use super::is_public;

#[derive(Clone)]
pub(super) enum Names {
    System(GaiResolver),
    PublicOnly(Box<Self>),
    #[cfg(test)]
    Fixed(SocketAddr),
}

impl Names {
    pub(super) fn of_system() -> Self {
        Self::System(GaiResolver::new())
    }
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::System(system) => system.poll_ready(context),
            Self::PublicOnly(names) => names.poll_ready(context),
            #[cfg(test)]
            Self::Fixed(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match self {
            Self::System(system) => {
                let asked = system.call(name);
                Box::pin(async move { Ok(asked.await?.collect::<Vec<_>>().into_iter()) })
            }
            Self::PublicOnly(names) => {
                let asked = names.call(name);
                Box::pin(async move {
                    let public: Vec<_> = asked.await?.filter(|address| is_public(address.ip())).collect();
                    match public.is_empty() {
                        true => Err(std::io::Error::other("the name leads to no public address")),
                        false => Ok(public.into_iter()),
                    }
                })
            }
            #[cfg(test)]
            Self::Fixed(address) => {
                let address = *address;
                Box::pin(async move { Ok(vec![address].into_iter()) })
            }
        }
    }
}
