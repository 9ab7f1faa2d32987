"""Every change we make to moto 5.2.5's internals, one function per service.

Nothing else in this package touches a private name of moto. Each patch has a contract test in
``tests/unit/local`` so that a new moto version fails loudly, not strangely.
"""
