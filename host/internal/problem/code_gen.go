// Code generated from codes.json by go generate; DO NOT EDIT.

package problem

// The codes. The zero Code is none of them.
const (
	_ Code = iota
	// BadRequest (400, "Bad Request"): the request is malformed or ambiguous; it was refused before any hook.
	BadRequest
	// BadRequestParameters (400, "Missing required request parameters"): a parameter that the method requires is absent or blank.
	BadRequestParameters
	// BadRequestBody (400, "Invalid request body"): the body does not fit the method's model, or cannot be read.
	BadRequestBody
	// Unauthorized (401, "Unauthorized"): the credential is absent, malformed, expired or not to be verified.
	Unauthorized
	// MissingAuthenticationToken (403, "Missing Authentication Token"): no method of a REST API matches the request.
	MissingAuthenticationToken
	// AccessDenied (403, "User is not authorized to access this resource"): an authorizer knows the caller and does not allow the request.
	AccessDenied
	// ExplicitDeny (403, "User is not authorized to access this resource with an explicit deny"): an authorizer denies this request by name.
	ExplicitDeny
	// InvalidAPIKey (403, "Forbidden"): the API key is absent, unknown, disabled, or in no usage plan of the stage.
	InvalidAPIKey
	// Filtered (403, "Forbidden"): a guard refused the request.
	Filtered
	// Forbidden (403, "Forbidden"): no API answers for the host, or the door refuses the client.
	Forbidden
	// NotFound (404, "Not Found"): no route of an HTTP API matches the request.
	NotFound
	// MethodNotAllowed (405, "Method Not Allowed"): the gateway never serves this method (CONNECT, TRACE).
	MethodNotAllowed
	// RequestTimeout (408, "Request Timeout"): the client sent its request too slowly.
	RequestTimeout
	// LengthRequired (411, "Length Required"): the body has no length and the route does not take such a body.
	LengthRequired
	// RequestTooLarge (413, "Request Entity Too Large"): the body is longer than the limit.
	RequestTooLarge
	// URITooLong (414, "URI Too Long"): the request target is longer than the limit.
	URITooLong
	// UnsupportedMediaType (415, "Unsupported Media Type"): no request template takes this content type.
	UnsupportedMediaType
	// ExpectationFailed (417, "Expectation Failed"): expect asks for something other than 100-continue.
	ExpectationFailed
	// MisdirectedRequest (421, "Misdirected Request"): the host is not served on a connection that was opened for this server name.
	MisdirectedRequest
	// Throttled (429, "Too Many Requests"): a token bucket is empty.
	Throttled
	// QuotaExceeded (429, "Limit Exceeded"): the usage plan's quota is used up.
	QuotaExceeded
	// HeadersTooLarge (431, "Request Header Fields Too Large"): there are more header fields, or bytes in them, than the limit.
	HeadersTooLarge
	// Internal (500, "Internal server error"): the gateway failed; the cause is in the log.
	Internal
	// PluginFailure (500, "Internal server error"): a plugin trapped, used up its fuel or returned a bad result, and its policy's on_error is fail.
	PluginFailure
	// AuthorizerFailure (500, "Internal server error"): an authorizer could not be asked.
	AuthorizerFailure
	// ConfigurationError (500, "Internal server error"): the API's definition does not allow an answer, such as an integration response that is not there.
	ConfigurationError
	// NotImplemented (501, "Not Implemented"): the request asks for a feature that the gateway refuses, such as an unknown transfer coding or an upgrade.
	NotImplemented
	// BadGateway (502, "Internal server error"): the upstream's answer is malformed, too long, or its certificate is not to be trusted.
	BadGateway
	// Unavailable (503, "Service Unavailable"): the gateway is at a limit of its own or is shutting down.
	Unavailable
	// IntegrationTimeout (504, "Endpoint request timed out"): the upstream did not answer in time.
	IntegrationTimeout
	// IntegrationFailure (504, "Network error communicating with endpoint"): the upstream could not be reached.
	IntegrationFailure
	// VersionNotSupported (505, "HTTP Version Not Supported"): the request line names a version other than HTTP/1.0 and HTTP/1.1.
	VersionNotSupported
)

var rows = [...]row{
	{},
	{"BadRequest", 400, "BadRequestException", "message", "Bad Request", "Bad Request", "DEFAULT_4XX"},
	{"BadRequestParameters", 400, "BadRequestException", "message", "Missing required request parameters", "Missing required request parameters", "BAD_REQUEST_PARAMETERS"},
	{"BadRequestBody", 400, "BadRequestException", "message", "Invalid request body", "Invalid request body", "BAD_REQUEST_BODY"},
	{"Unauthorized", 401, "UnauthorizedException", "message", "Unauthorized", "Unauthorized", "UNAUTHORIZED"},
	{"MissingAuthenticationToken", 403, "MissingAuthenticationTokenException", "message", "Missing Authentication Token", "Missing Authentication Token", "MISSING_AUTHENTICATION_TOKEN"},
	{"AccessDenied", 403, "AccessDeniedException", "Message", "User is not authorized to access this resource", "Forbidden", "ACCESS_DENIED"},
	{"ExplicitDeny", 403, "AccessDeniedException", "Message", "User is not authorized to access this resource with an explicit deny", "Forbidden", "ACCESS_DENIED"},
	{"InvalidAPIKey", 403, "ForbiddenException", "message", "Forbidden", "Forbidden", "INVALID_API_KEY"},
	{"Filtered", 403, "ForbiddenException", "message", "Forbidden", "Forbidden", "WAF_FILTERED"},
	{"Forbidden", 403, "ForbiddenException", "message", "Forbidden", "Forbidden", "DEFAULT_4XX"},
	{"NotFound", 404, "NotFoundException", "message", "Not Found", "Not Found", "RESOURCE_NOT_FOUND"},
	{"MethodNotAllowed", 405, "MethodNotAllowedException", "message", "Method Not Allowed", "Method Not Allowed", "DEFAULT_4XX"},
	{"RequestTimeout", 408, "RequestTimeoutException", "message", "Request Timeout", "Request Timeout", "DEFAULT_4XX"},
	{"LengthRequired", 411, "BadRequestException", "message", "Length Required", "Length Required", "DEFAULT_4XX"},
	{"RequestTooLarge", 413, "RequestTooLargeException", "message", "Request Entity Too Large", "Request Entity Too Large", "REQUEST_TOO_LARGE"},
	{"URITooLong", 414, "BadRequestException", "message", "URI Too Long", "URI Too Long", "DEFAULT_4XX"},
	{"UnsupportedMediaType", 415, "BadRequestException", "message", "Unsupported Media Type", "Unsupported Media Type", "UNSUPPORTED_MEDIA_TYPE"},
	{"ExpectationFailed", 417, "BadRequestException", "message", "Expectation Failed", "Expectation Failed", "DEFAULT_4XX"},
	{"MisdirectedRequest", 421, "BadRequestException", "message", "Misdirected Request", "Misdirected Request", "DEFAULT_4XX"},
	{"Throttled", 429, "TooManyRequestsException", "message", "Too Many Requests", "Too Many Requests", "THROTTLED"},
	{"QuotaExceeded", 429, "LimitExceededException", "message", "Limit Exceeded", "Limit Exceeded", "QUOTA_EXCEEDED"},
	{"HeadersTooLarge", 431, "BadRequestException", "message", "Request Header Fields Too Large", "Request Header Fields Too Large", "DEFAULT_4XX"},
	{"Internal", 500, "InternalServerErrorException", "message", "Internal server error", "Internal Server Error", "DEFAULT_5XX"},
	{"PluginFailure", 500, "InternalServerErrorException", "message", "Internal server error", "Internal Server Error", "DEFAULT_5XX"},
	{"AuthorizerFailure", 500, "AuthorizerConfigurationException", "message", "Internal server error", "Internal Server Error", "AUTHORIZER_FAILURE"},
	{"ConfigurationError", 500, "InternalServerErrorException", "message", "Internal server error", "Internal Server Error", "API_CONFIGURATION_ERROR"},
	{"NotImplemented", 501, "NotImplementedException", "message", "Not Implemented", "Not Implemented", "DEFAULT_5XX"},
	{"BadGateway", 502, "InternalServerErrorException", "message", "Internal server error", "Internal Server Error", "DEFAULT_5XX"},
	{"Unavailable", 503, "ServiceUnavailableException", "message", "Service Unavailable", "Service Unavailable", "DEFAULT_5XX"},
	{"IntegrationTimeout", 504, "InternalServerErrorException", "message", "Endpoint request timed out", "Service Unavailable", "INTEGRATION_TIMEOUT"},
	{"IntegrationFailure", 504, "InternalServerErrorException", "message", "Network error communicating with endpoint", "Service Unavailable", "INTEGRATION_FAILURE"},
	{"VersionNotSupported", 505, "BadRequestException", "message", "HTTP Version Not Supported", "HTTP Version Not Supported", "DEFAULT_5XX"},
}
