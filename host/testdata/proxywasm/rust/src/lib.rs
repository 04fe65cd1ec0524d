//! A plugin by proxy-wasm's Rust SDK: it answers /hello itself, adds a header to the request,
//! counts ticks, and asks an upstream for what it adds to the response.

use log::info;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { word: String::new(), ticks: 0 }));
}}

struct Root {
    word: String,
    ticks: u32,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        match self.get_plugin_configuration().map(String::from_utf8) {
            Some(Ok(word)) => self.word = word,
            _ => return false,
        }
        self.ticks = proxy_wasm::hostcalls::define_metric(MetricType::Counter, "rust.ticks").unwrap();
        self.set_tick_period(Duration::from_millis(5));
        true
    }

    fn on_tick(&mut self) {
        proxy_wasm::hostcalls::increment_metric(self.ticks, 1).unwrap();
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { word: self.word.clone() }))
    }
}

struct Stream {
    word: String,
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _: u32, _: usize, size: usize, _: usize) {
        let status = self.get_http_call_response_header(":status").unwrap_or_default();
        let body = self.get_http_call_response_body(0, size).unwrap_or_default();
        self.add_http_response_header("x-said", &format!("{} {}", status, String::from_utf8_lossy(&body)));
        self.resume_http_response();
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if self.get_http_request_header(":path").as_deref() == Some("/hello") {
            self.send_http_response(200, vec![("x-rust", "yes")], Some(format!("hello {}", self.word).as_bytes()));
            return Action::Pause;
        }
        if self.get_http_request_header(":path").as_deref() == Some("/panic") {
            panic!("asked for");
        }
        self.add_http_request_header("x-word", &self.word);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let headers = vec![(":method", "POST"), (":path", "/said?by=rust"), (":authority", "upstream.test")];
        match self.dispatch_http_call("side", headers, Some(b"question"), vec![], Duration::from_secs(2)) {
            Ok(_) => Action::Pause,
            Err(status) => {
                info!("call: {:?}", status);
                Action::Continue
            }
        }
    }
}
