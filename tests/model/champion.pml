/* The champion protocol: two runs deploy, a person rolls back, restoration mends; each of them may be slow or
 * die anywhere, and the endpoint takes its time and may go back by itself.
 *
 * Assumed: nobody's lease is taken over between its check and the act that follows (a lease lasts hours, a
 * function a minute); -DRACE drops that. Every other switch takes one part of the protocol away: README.md. */
#define NOBODY 0
#define PERSON 3
#define RESTORER 4
#define STILL 255

byte lease = NOBODY;      /* who holds it; an expired lease still names its holder */
byte fence = 0;
byte serving = 0;         /* whose config answers; 0 is the first champion's */
byte moving = STILL;      /* where an update under way leads */
bool alarms = false;      /* whether it may be undone by alarms */
byte champion = 0;        /* the pointer */
byte sequence = 0;
byte was[8] = 0;          /* the history: sequence -> champion */
byte crowned[3] = 0;      /* how often each run was crowned by itself */
byte last_mover = 0;      /* newest fence that moved the endpoint */
byte last_crowner = 0;    /* newest fence that moved the pointer */
byte done = 0;

/* free, or its holder's has expired while it was merely slow: possible at any time */
inline take(me, mine) { atomic { fence++; mine = fence; lease = me } }
inline release(me, mine) { atomic { if :: lease == me && fence == mine -> lease = NOBODY :: else fi } }

#ifdef NO_FENCE
#define HOLDS(me, mine) true
#else
#define HOLDS(me, mine) (lease == me && fence == mine)
#endif

inline move(whose, mine, undoable) {
  d_step {
#ifndef RACE
    assert(mine >= last_mover);    /* who lost the lease moves no endpoint that the next holder has moved */
#endif
    if :: mine > last_mover -> last_mover = mine :: else fi;
    moving = whose; alarms = undoable
  }
}

inline crown(by, whose, mine, compared) {
  atomic {
    if
#ifdef NO_CAS
    :: true ->
#else
    :: sequence == compared ->
#endif
       assert(mine >= last_crowner);  /* a run with an older fence never crowns after a newer one */
#ifndef RACE
       assert(mine >= last_mover);    /* nor after a newer one moved the endpoint */
       assert(serving == whose);      /* I4: the pointer names what serves */
#endif
       last_crowner = mine;
       if :: by != PERSON -> crowned[by]++; assert(crowned[by] == 1) :: else fi;  /* I5 */
       sequence++; champion = whose; was[sequence] = whose
    :: else                           /* moved meanwhile; by ourselves, when this is looked at again */
    fi
  }
}

/* a check and its act: one step, or two with RACE */
#ifdef RACE
#define CHECKED(check, act) if :: check -> act :: else -> goto over fi
#else
#define CHECKED(check, act) atomic { if :: check -> act :: else -> goto over fi }
#endif

proctype Run(byte me) {
  byte mine, compared, deaths = 0;
  take(me, mine);
  compared = sequence;
deploy:
  CHECKED(HOLDS(me, mine) && sequence == compared,
    if
    :: serving == me || moving == me -> skip    /* a retry: asked for already */
    :: else ->
       if
       :: moving != STILL -> goto deploy        /* busy: refused, tried again */
       :: else -> move(me, mine, true)
       fi
    fi);
  if :: deaths < 1 -> deaths++; goto deploy     /* killed after UpdateEndpoint, and retried */
     :: skip
  fi;
look:
  moving != me;                                 /* at rest again */
#ifndef NO_VERIFY
  if :: serving == me :: else -> goto over fi;  /* it went back, or another config serves */
#endif
  CHECKED(HOLDS(me, mine), crown(me, me, mine, compared));
  if :: deaths < 1 -> deaths++; goto look       /* killed after the move: looked at again */
     :: skip
  fi;
over:
  if :: release(me, mine) :: skip fi;           /* or it died: its lease expires */
  atomic { mine = 0; compared = 0; deaths = 0; done++ }  /* forget what no longer matters: fewer states */
}

#ifdef ROLLBACK_WITHOUT_LEASE
#define HELD true
#else
#define HELD HOLDS(PERSON, mine)
#endif

proctype Person() {
  byte mine = 0, stands, target;
  if :: sequence > 0 :: done == 2 && sequence == 0 -> goto gone fi;
command:
  atomic { stands = sequence; target = was[stands - 1] };
#ifndef ROLLBACK_WITHOUT_LEASE
  take(PERSON, mine);
#endif
  CHECKED(HELD && sequence == stands && moving == STILL,
    if :: serving == target -> skip :: else -> move(target, mine, false) fi);
  if :: goto over :: skip fi;                   /* the command is killed */
  moving == STILL;
  if :: serving == target :: else -> goto over fi;
  CHECKED(HELD, crown(PERSON, target, mine, stands));
over:
  if :: release(PERSON, mine) :: skip fi;
gone:
  atomic { mine = 0; stands = 0; target = 0; done++ }
}

#ifdef RACE
#define TOGETHER
#else
#define TOGETHER atomic
#endif

inline restore(mine) {
  TOGETHER {
    take(RESTORER, mine);
    if
    :: moving == STILL && serving != champion -> move(champion, mine, false)
    :: else
    fi
  };
  release(RESTORER, mine)
}

proctype Restorer() {
  byte mine;
#ifndef NO_RESTORE
  restore(mine);
#endif
  done == 3 && moving == STILL;
#ifndef NO_RESTORE
  restore(mine);
  moving == STILL;
#endif
  assert(serving == champion)                   /* I4, at rest */
}

proctype Endpoint() {
end:
  do
  :: atomic { moving != STILL -> serving = moving; moving = STILL }
  :: atomic { moving != STILL && alarms -> moving = STILL }
  od
}

init { atomic { run Endpoint(); run Run(1); run Run(2); run Person(); run Restorer() } }
