"""What Driftwheel remembers: one DynamoDB table, conditional writes only.

| pk | sk | what |
|---|---|---|
| ``MODELS`` | ``<model>`` | the registered ``model.yaml`` |
| ``OBJECT#<model>`` | ``<key>#<version>`` | one delivered object version and its one state |
| ``LEASE`` | ``<model>`` | who may run now, and the fencing token |
| ``RUN#<model>`` | ``<run_id>`` | the run index |
| ``TOKEN`` | ``<resource ARN>#<run id>`` | a parked task token |
| ``DECISION#<model>`` | ``<time>#<id>`` | why something did or did not happen |
| ``CHAMPION`` | ``<model>`` | what serves; moves by compare-and-set on ``sequence`` |
| ``CHAMPION#<model>`` | ``<sequence>`` | every champion there was |
| ``DATASET#<model>`` | ``<digest>`` | which run trained on this content |
| ``FINDING`` | ``<model>`` | what the latest drift check found |
| ``HOUR#<model>`` | ``<hour>`` | an hour of traffic found broken: held and why, or released when and why |

The local secondary index ``Pending`` holds the object versions a run may be started for, by ``waiting``.
"""
