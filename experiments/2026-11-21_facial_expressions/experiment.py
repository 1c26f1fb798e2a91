"""What does seed document 004's network reach on faces of people it has not seen, in each of five folds by person?"""

from configs import facial_expressions
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = facial_expressions.get_config()
    return Experiment(base=config, variants=[Variant("facial_expressions")], seeds=1, folds=5)
