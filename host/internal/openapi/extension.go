package openapi

import (
	"slices"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/document"
)

// place is where an extension stands.
type place uint8

const (
	atRoot place = 1 << iota
	atPath
	atOperation
	atScheme
)

// treatment is what becomes of an extension.
type treatment uint8

const (
	served  treatment = iota // read elsewhere, or without effect on requests
	warned                   // not served yet; the API is as safe without it
	refused                  // not served yet, and without it something would be open
	checked                  // refused or not, as its value says
)

// extension is one of Amazon's or of ours.
type extension struct {
	name  string
	where place
	what  treatment
	want  string // what to do instead
}

const amazon = "x-amazon-apigateway-"

// extensions is Amazon's whole list, and ours.
var extensions = []extension{
	{amazon + "any-method", atPath, served, ""},
	{amazon + "api-key-source", atRoot, checked, ""},
	{amazon + "auth", atRoot | atOperation, checked, ""},
	{amazon + "authorizer", atScheme, served, ""},
	{amazon + "authtype", atScheme, checked, ""},
	{amazon + "binary-media-types", atRoot, served, ""}, // bodies pass byte for byte
	{amazon + "cors", atRoot, warned, "a policy with the plugin cors"},
	{amazon + "documentation", atRoot, served, ""},
	{amazon + "endpoint-access-mode", atRoot, checked, ""},
	{amazon + "endpoint-configuration", atRoot, checked, ""},
	{amazon + "gateway-responses", atRoot, warned, "no custom gateway responses for now"},
	{amazon + "importexport-version", atRoot, served, ""},
	{amazon + "integration", atOperation, served, ""},
	{amazon + "minimum-compression-size", atRoot, warned, "no compression for now"},
	{amazon + "policy", atRoot, refused, "a policy with the plugin ip-rules; resource policies are not served yet"},
	{amazon + "request-validator", atRoot | atOperation, warned, "an upstream that validates; validators are not served yet"},
	{amazon + "request-validators", atRoot, served, ""}, // definitions only
	{amazon + "security-policy", atRoot, warned, "tls.min_version in the process file"},
	{apiKey, atRoot, served, ""},
	{policiesKey, atRoot | atPath | atOperation, served, ""},
	{keysKey, atRoot, served, ""},
}

// keys checks the keys of an object of the specification: known ones, and extensions.
func (l *loader) keys(v document.Value, where place, known []string) {
	for key, field := range v.Fields() {
		switch {
		case strings.HasPrefix(key, amazon), strings.HasPrefix(key, "x-wasmgate-"):
			l.extension(field, where)
		case strings.HasPrefix(key, "x-"), slices.Contains(known, key):
		default:
			field.AtKey().Unknown(known)
		}
	}
}

func (l *loader) extension(v document.Value, where place) {
	i := slices.IndexFunc(extensions, func(e extension) bool { return e.name == v.Key() && e.where&where != 0 })
	if i < 0 {
		var here []string
		for _, e := range extensions {
			if e.where&where != 0 {
				here = append(here, e.name)
			}
		}
		v.AtKey().Unknown(here)
		return
	}
	switch e := extensions[i]; e.what {
	case warned:
		if !l.told[e.name] { // once, not for every operation
			l.told[e.name] = true
			l.warn(v.AtKey(), "an extension that is not served yet", e.want)
		}
	case refused:
		v.AtKey().Report("an extension that is not served yet", e.want)
	case checked:
		l.check(v)
	}
}

// check refuses the values that are not served yet of extensions that guard requests.
func (l *loader) check(v document.Value) {
	switch strings.TrimPrefix(v.Key(), amazon) {
	case "api-key-source":
		if !strings.EqualFold(v.Text(), "HEADER") {
			v.Report("", `"HEADER": keys from authorizers are not served yet`)
		}
	case "auth":
		if t := v.Field("type"); !strings.EqualFold(t.Text(), "NONE") {
			v.Report("the authorization "+t.String(), `"NONE": signed requests (AWS_IAM) are not served yet`)
		}
	case "authtype":
		if strings.EqualFold(v.Text(), "awsSigv4") {
			v.Report("", "another scheme: signed requests are not served yet")
		}
	case "endpoint-access-mode":
		if !strings.EqualFold(v.Text(), "BASIC") {
			v.Report("", `"BASIC": the check of SNI against Host is not served yet`)
		}
	case "endpoint-configuration":
		if off := v.Field("disableExecuteApiEndpoint"); off.Exists() && off.String() != "false" {
			off.Report("", "false: the execute-api address cannot be closed yet")
		}
		if v.Field("vpcEndpointIds").Exists() {
			v.Field("vpcEndpointIds").Report("", "none: private APIs are not served yet")
		}
	}
}
