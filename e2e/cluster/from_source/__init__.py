"""Kubernetes, Volcano, the git server and the tools, built from their Go modules on Debian packages.

The end-to-end tests take published images where an image registry answers; this package serves the hosts that reach
package registries only. `go_modules` builds, `programs` lists what is built and at which version, `images` puts the
programs into images. docs/decisions/0004 says why.
"""
