package schedule

import (
	"context"

	"github.com/rollcallhq/rollcall/pkg/fleet"
	"github.com/rollcallhq/rollcall/pkg/store"
)

// codeOutsideScope is the code of a write that reaches beyond what its actor may see.
const codeOutsideScope = "outside_scope"

// mayTouch refuses a schedule that is about hosts which the actor may not see; one that is about no other is not there.
func mayTouch(ctx context.Context, tx *store.Store, actor fleet.Actor, s fleet.Schedule) error {
	if actor.Selector == nil {
		return nil
	}
	reaches, err := tx.ScheduleReaches(ctx, actor.Scope(), []fleet.Schedule{s})
	switch {
	case err != nil:
		return err
	case !reaches[0].Seen():
		return fleet.Errorf(fleet.NotFound, "there is no such schedule")
	case !reaches[0].Whole():
		return fleet.Errorf(fleet.Forbidden, "the schedule is about hosts outside of what %s may see", actor).WithCode(codeOutsideScope)
	}
	return nil
}

// mayOwn refuses an actor who sees less than the user behind it, such as an API token with a selector of its own: a
// schedule collects with the scope of its owner, the user, and so would see more than the actor.
func mayOwn(ctx context.Context, tx *store.Store, actor fleet.Actor) error {
	if actor.Selector == nil || actor.UserID == nil {
		return nil
	}
	owner, err := tx.User(ctx, *actor.UserID)
	if err != nil {
		return err
	}
	if selector, err := fleet.ParseSelector(owner.Selector); err == nil && selector.String() == actor.Selector.String() {
		return nil
	}
	return fleet.Errorf(fleet.Forbidden, "a schedule collects within the scope of its owner, which is wider than that of %s", actor).WithCode(codeOutsideScope)
}
