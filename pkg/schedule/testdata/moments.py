"""Says when cron expressions are due in a time zone, by asking zoneinfo what the clock shows at every single minute.

It is the other opinion that the tests hold package schedule against, so it is written from what cron(8) promises and
shares nothing with the package: no search, no offsets, no arithmetic on local times.

usage: moments.py ZONE FROM TO EXPRESSION...     FROM and TO in seconds since 1970, whole minutes
prints one JSON list of instants for each expression, of those after FROM and not after TO
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

MARGIN = 26 * 60  # minutes before FROM and after TO that are looked at: longer than any clock is set by


def numbers(field, low, high):
    found = set()
    for part in field.split(","):
        part, _, step = part.partition("/")
        if part == "*":
            first, last = low, high
        else:
            first, _, last = part.partition("-")
            first, last = int(first), int(last or (high if step else first))
        found.update(range(first, last + 1, int(step or 1)))
    return found


class Expression:
    def __init__(self, text):
        minute, hour, day, month, weekday = text.split()
        self.minute, self.hour = numbers(minute, 0, 59), numbers(hour, 0, 23)
        self.day, self.month = numbers(day, 1, 31), numbers(month, 1, 12)
        self.weekday = numbers(weekday, 0, 6)
        self.both = day == "*" or weekday == "*"
        self.wildcard = minute.startswith("*") or hour.startswith("*")

    def names(self, shown):
        day, weekday = shown.day in self.day, shown.isoweekday() % 7 in self.weekday
        right = (day and weekday) if self.both else (day or weekday)
        return right and shown.month in self.month and shown.hour in self.hour and shown.minute in self.minute


def moments(expression, shown, begin, end):
    """shown: the instants minute by minute, each with what the clock shows then."""
    if expression.wildcard:
        return [at for at, wall in shown if begin < at <= end and expression.names(wall)]
    when = {}  # the first instant at which the clock shows a time
    for at, wall in shown:
        when.setdefault(wall, at)
    due = set()
    wall, last = shown[0][1], max(wall for _, wall in shown)
    while wall <= last:
        if expression.names(wall):
            # A time that is never shown is made up for as soon as the clock shows a later one.
            due.add(when[wall] if wall in when else next(at for at, other in shown if other > wall))
        wall += timedelta(minutes=1)
    return sorted(at for at in due if begin < at <= end)


def main():
    zone, begin, end = ZoneInfo(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    shown = []
    for at in range(begin - MARGIN * 60, end + MARGIN * 60, 60):
        wall = datetime.fromtimestamp(at, timezone.utc).astimezone(zone).replace(tzinfo=None, fold=0)
        shown.append((at, wall))
    for text in sys.argv[4:]:
        print(json.dumps(moments(Expression(text), shown, begin, end)))


main()
