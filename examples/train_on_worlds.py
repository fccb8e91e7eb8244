"""Policy gradients on synthetic worlds, without the loop around them: every frame is once the one that is sampled.

python examples/train_on_worlds.py --steps 20
"""

import torch
import tyro

import traqpoint as tp
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.data.worlds.source import Worlds
from traqpoint.models.layers import frozen
from traqpoint.policy.config import PolicyConfig, WarmupConfig
from traqpoint.training.policy_step import policy_step, schedule


def main(steps: int = 1, size: int = 240, weights: str | None = None) -> None:
    torch.manual_seed(0)
    model = tp.TraqPoint() if weights is None else tp.TraqPoint.from_pretrained(weights)
    frozen(model.descriptor)  # stage 2 trains the detector alone
    optimizer = torch.optim.AdamW(model.detector.train().parameters(), lr=1e-3)

    worlds = Worlds(WorldsConfig(image_size=(size, size), num_frames=3, num_textures=10, texture_size=256))
    config = PolicyConfig(warmup=WarmupConfig(share=0))  # rewards alone, no imitation of corners first
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        batch = worlds.sample(1, generator)
        loss, stats = policy_step(batch, model, config, schedule(step / steps, config), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step + 1}: " + ", ".join(f"{name} {value:.3f}" for name, value in stats.items()))


if __name__ == "__main__":
    tyro.cli(main)
