// Package route finds the API and the route of a request, by Amazon's rules.
//
// A host is {id}.execute-api.localhost, where the first segment is the stage, or a custom
// domain, where base paths, the longest first, tell APIs apart. In a REST API the route is
// the first that serves the method when at each level a literal is tried before {x} and
// {x} before {proxy+}. In an HTTP API a full match wins over a greedy one, and $default is
// the last. On one resource the method itself wins over ANY. One slash at the end changes
// nothing.
//
// # Paths that two readers understand differently
//
// Gateways break where the path that was authorized is not the path that the upstream
// serves (CVE-2025-66490, CVE-2026-26205, CVE-2026-52844 and many others). So:
//
//   - Bytes are matched as they are. Nothing is decoded, and [Match.Path] and the
//     parameters are parts of the target as the client sent it.
//   - A path with a dot segment, in any spelling, is [BadPath]: . and .. stand for another
//     path (RFC 3986, section 5.2.4), also as %2e, behind %2f or \, or before ;x. So is a
//     path with a control byte, a raw ? or #, overlong UTF-8 or a bad percent-encoding.
//   - Any other path that a lax reader could take for another one, because it has an empty
//     segment, a backslash, a ; or the encoding of a letter, digit, -._~, slash,
//     backslash, ;, %, ? or #, is read a second time as the laxest reader would: all decoded,
//     backslashes as slashes, empty segments and parameters dropped, with and without what
//     a decoded ? or # would cut off. When that is another
//     route, or none, the path is BadPath. So {proxy+} carries %2F and //, and
//     /admin%2Fx, //admin and /%61dmin do not slip past the policies of /admin.
//
// Case stays significant; an upstream that ignores it is the API developer's to know.
//
// Start at [Build].
package route
