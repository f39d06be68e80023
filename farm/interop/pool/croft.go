package pool

import (
	"time"

	"golang.org/x/build/buildlet"
	"golang.org/x/build/internal/spanlog"
)

// These stand in for those of the files about clouds, which are left out: they take minutes to compile.

type Logger interface {
	LogEventTime(event string, optText ...string)
	spanlog.Logger
}

type token struct{}

func friendlyDuration(d time.Duration) string { return d.String() }

// CroftGrab gives the client of an idle buildlet that has registered for the host type, or nil. The pool's own GetBuildlet
// waits up to ten seconds and is called differently in each version; this is what it calls.
func CroftGrab(hostType string) buildlet.Client {
	client, _ := reversePool.tryToGrab(hostType)
	return client
}
