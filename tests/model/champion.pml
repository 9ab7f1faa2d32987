/* The champion protocol: two runs deploy, either may die anywhere once and is retried; the reconciler
 * restores. CAS, LEASE and RESTORE may be switched off (-DNO_CAS, -DNO_FENCE) to see what they are for. */
#define NOBODY 0
byte lease = NOBODY;      /* run that holds the lease */
byte fence = 0;
byte serving = 0;         /* run whose config the endpoint is on; 0 is the first champion's */
byte champion = 0;        /* run the pointer names */
byte sequence = 0;
byte moves = 0;           /* crownings, each of which must be one sequence */
byte done = 0;

inline crown(me, mine, compared) {
  atomic {
#ifdef NO_FENCE
    if :: true ->
#else
    if :: (lease == me && fence == mine) ->
#endif
#ifdef NO_CAS
      sequence = sequence + 1; champion = me; moves++
#else
      if
      :: (sequence == compared) -> sequence = sequence + 1; champion = me; moves++
      :: (sequence == compared + 1 && champion == me) -> skip  /* the same move again */
      :: else -> skip
      fi
#endif
    :: else -> skip
    fi
  }
}

proctype Run(byte me) {
  byte mine = 0; byte compared = 0; byte deaths = 0;
  /* start: the lease is free, or its holder's has expired while it was merely slow */
  atomic { (lease == NOBODY || lease != me) -> lease = me; fence++; mine = fence; compared = sequence }
deploy:
  atomic {
    if
    :: (lease == me && fence == mine) -> serving = me
    :: else -> goto over
    fi
  }
  if :: (deaths < 1) -> deaths++; goto deploy   /* killed after UpdateEndpoint: retried */
     :: skip
  fi;
again:
  assert(sequence >= compared);
  if
  :: (serving == me) -> crown(me, mine, compared)
  :: else -> skip                                /* verification: another config serves */
  fi;
  if :: (deaths < 2) -> deaths++; goto again     /* killed after the move: looked at again */
     :: skip
  fi;
over:
  atomic { if :: (lease == me && fence == mine) -> lease = NOBODY :: else -> skip fi; done++ }
}

proctype Reconciler() {
  byte rounds = 0;
  do
  :: (rounds < 3) -> rounds++;
     atomic { if :: (lease == NOBODY && serving != champion) -> serving = champion :: else -> skip fi }
  :: (done == 2 && lease == NOBODY) ->
     atomic { if :: (serving != champion) -> serving = champion :: else -> skip fi };
     break
  od;
  assert(serving == champion);                   /* I4 one truth */
  assert(moves == sequence);                     /* I5 each crowning is one sequence */
  assert(moves <= 2)
}

init { atomic { run Run(1); run Run(2); run Reconciler() } }
